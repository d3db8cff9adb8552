"""All chunkers: whatever a document is, nothing of it is lost, nothing comes twice but what shall, and parts have their size."""

import re
import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_generator.config import member, members
from rag.chunkers import Chunk, pieces, sentences_of, tokens_in
from rag.chunkers.parent_child import Config as ParentChild
from rag.chunkers.semantic import Config as Semantic
from rag.chunkers.sentence_window import Config as Window
from rag.chunkers.sentences import Config as Sentences
from rag.chunkers.tokens import Config as Tokens
from rag.document import Bullets, Code, Figure, Heading, Paragraph, Place, Table, with_headings
from rag.figures import digest_of

PNG = b"\x89PNG\r\n\x1a\nxyz"
ALL = members("rag.chunkers")


def embed(texts):
    """Vectors by the first letter of what is in the middle."""
    return np.array([[ord(text[0]) % 7, len(text) % 5, 1.0] for text in texts], np.float32)


def cut(config, blocks):
    return list(config.cut(blocks, embed))


def config_of(name, **fields):
    return member("rag.chunkers", name).Config(**fields)


text = st.lists(
    st.sampled_from(["a", "bb.", "Ccc", "d!", "雨", "天。", "e\nf", "g" * 40, "n.k", "...", "?"]), max_size=40
).map(" ".join)
places = st.builds(Place, st.integers(1, 5))
row = st.tuples(text, st.just("x|y"))
block = st.one_of(
    st.builds(Heading, st.sampled_from(["H", "Ö", "雨"]), st.integers(1, 3), places),
    st.builds(Paragraph, text, places),
    st.builds(
        Bullets, st.lists(st.tuples(st.integers(0, 2), text), min_size=1, max_size=4).map(tuple), st.booleans(), places
    ),
    st.builds(Table, st.lists(row, min_size=1, max_size=6).map(tuple), st.integers(0, 1), text, places),
    st.builds(Code, text, places),
    st.builds(Figure, text, text, st.just(PNG), places),
)


def letters(texts):
    """What is said, without what is between it and without the marks of rows and items."""
    return re.sub(r"[\s|\\-]|\d+\.", "", "".join(texts))


def said(blocks):
    """All that running texts, code and figures say, in order."""
    found = []
    for _, each in with_headings(blocks):
        if isinstance(each, Paragraph | Code):
            found.append(each.text)
        elif isinstance(each, Bullets):
            found += [words for _, words in each.items]
        elif isinstance(each, Figure):
            found += [each.caption, each.text]
    return letters(found)


@pytest.mark.parametrize("name", ALL)
@given(blocks=st.lists(block, max_size=8), size=st.integers(16, 60))
@settings(max_examples=12, deadline=None)
def test_nothing_is_lost_and_nothing_comes_twice(name, blocks, size):
    fields = {
        "size": size,
        **({"overlap": 0} if name == "tokens" else {}),
        **({"parent": 80} if name == "parent_child" else {}),
    }
    chunks = cut(config_of(name, **fields), blocks)
    assert letters(chunk.text for chunk in chunks if chunk.kind != "table") == said(blocks)
    assert all(chunk.text.strip() and chunk.places for chunk in chunks)
    assert all(tokens_in(chunk.text) <= size for chunk in chunks if chunk.kind in ("text", "figure"))
    paths = [path for path, _ in with_headings(blocks)]
    assert {chunk.path for chunk in chunks} <= set(paths)
    assert {chunk.figure for chunk in chunks if chunk.kind == "figure"} <= {digest_of(PNG)}
    # A row is never cut, and each part of a table has its header.
    rows = [
        line for chunk in chunks if chunk.kind == "table" for line in chunk.text.split("\n") if line.startswith("| ")
    ]
    assert all(line.endswith("x\\|y |") or set(line) <= set("|- ") for line in rows)
    for path, table in with_headings(blocks):
        if isinstance(table, Table):
            own = [c for c in chunks if c.kind == "table" and c.path == path]
            for cells in table.rows:
                assert any(" ".join(cells[0].split()) in c.text for c in own)


@pytest.mark.parametrize("name", ALL)
def test_sections_are_not_mixed_and_places_are_told(name):
    blocks = [
        Heading("A", 1),
        Paragraph("One. Two.", Place(1)),
        Paragraph("Three.", Place(2)),
        Heading("B", 2),
        Paragraph("Four.", Place(3)),
    ]
    chunks = cut(config_of(name), blocks)
    for chunk in chunks:
        b = "Four" in chunk.text
        assert chunk.path == (("A", "B") if b else ("A",))
        assert ("Four" in (chunk.context or chunk.text)) == b
        assert ("Three" in chunk.text) == (Place(2) in chunk.places)
        assert (Place(3) in chunk.places) == b


@pytest.mark.parametrize("name", ALL)
def test_a_document_of_nothing_has_no_chunks(name):
    assert cut(config_of(name), []) == []
    assert cut(config_of(name), [Heading("H", 1), Paragraph("  "), Bullets(((0, " "),)), Code(" ")]) == []


def test_tokens_overlap_by_so_many():
    words = [f"w{i}" for i in range(200)]
    chunks = cut(Tokens(size=32, overlap=8), [Paragraph(" ".join(words), Place(1))])
    for before, after in pairwise(chunks):
        assert before.text.split()[-8:] == after.text.split()[:8]
    assert all(tokens_in(chunk.text) == 32 for chunk in chunks[:-1])
    assert list(dict.fromkeys(word for chunk in chunks for word in chunk.text.split())) == words
    with pytest.raises(ValueError, match="at most half"):
        Tokens(size=32, overlap=20)


@given(text, st.integers(16, 40), st.integers(0, 8))
@settings(max_examples=20, deadline=None)
def test_what_overlaps_is_the_end_of_the_part_before(words, size, overlap):
    for config in (Tokens(size=size, overlap=overlap), Sentences(size=size, overlap=overlap)):
        chunks = cut(config, [Paragraph(words, Place(1))])
        rest = " ".join(words.split())
        whole = ""
        for chunk in chunks:
            own = " ".join(chunk.text.split())
            assert tokens_in(own) <= size
            shared = max(n for n in range(len(own) + 1) if whole.replace(" ", "").endswith(own[:n].replace(" ", "")))
            assert tokens_in(own[:shared]) <= max(overlap, tokens_in(own) - 1)
            whole += own[shared:]
        assert whole.replace(" ", "") == rest.replace(" ", "")


def test_sentences_stay_whole_and_the_last_ones_are_repeated():
    said = [f"This is sentence {i}." for i in range(30)]
    chunks = cut(Sentences(size=24, overlap=6), [Paragraph(" ".join(said), Place(1))])
    for before, after in pairwise(chunks):
        last = sentences_of(before.text)[-1].strip()
        assert after.text.startswith(last)
        assert last in said
    assert list(dict.fromkeys(s.strip() for chunk in chunks for s in sentences_of(chunk.text))) == said


def test_a_sentence_is_found_and_its_window_is_read():
    blocks = [Paragraph("One. Two. Three. Four. Five."), Heading("H", 1), Paragraph("Six.")]
    chunks = cut(Window(window=1), blocks)
    assert [(chunk.text, chunk.context) for chunk in chunks] == [
        ("One.", "One. Two."), ("Two.", "One. Two. Three."), ("Three.", "Two. Three. Four."),
        ("Four.", "Three. Four. Five."), ("Five.", "Four. Five."), ("Six.", None),
    ]  # fmt: skip


def test_small_parts_are_found_and_the_larger_one_is_read():
    said = [f"This is sentence number {i} of it." for i in range(20)]
    chunks = cut(ParentChild(size=20, parent=60), [Heading("H", 1), Paragraph(" ".join(said))])
    parents = list(dict.fromkeys(chunk.context or chunk.text for chunk in chunks))
    assert " ".join(parents) == " ".join(chunk.text for chunk in chunks) == " ".join(said)
    assert len(parents) < len(chunks)
    assert all(chunk.text in (chunk.context or chunk.text) for chunk in chunks)
    assert all(tokens_in(parent) <= 60 for parent in parents)
    table = Table((("k", "v"), *((f"k{i}", f"v{i}") for i in range(12))), 1, "T")
    rows = cut(ParentChild(size=24, parent=500), [table])
    assert len(rows) > 2
    assert {row.context.count("\n") for row in rows} == {14}
    assert all(row.text.startswith("T\n| k | v |\n") for row in rows)
    (whole,) = cut(ParentChild(), [Paragraph("Short.")])
    assert whole.context is None
    with pytest.raises(ValueError, match="at least 'size'"):
        ParentChild(size=100, parent=50)


def test_a_text_breaks_where_its_meaning_changes():
    topics = [
        "The cat sleeps. ",
        "Cats eat mice. ",
        "A cat purrs. ",
        "Stocks fell today. ",
        "Markets lost money. ",
        "Stocks may rise. ",
    ]

    def by_topic(texts):
        return np.array(
            [[t.count("at") + t.count("mice"), t.count("tock") + t.count("arket")] for t in texts], np.float32
        )

    chunks = list(Semantic(percentile=75, buffer=0).cut([Paragraph("".join(topics))], by_topic))
    assert [chunk.text for chunk in chunks] == ["".join(topics[:3]).strip(), "".join(topics[3:]).strip()]
    asked = []
    list(Semantic(buffer=1).cut([Paragraph("One. Two. Three.")], lambda texts: asked.extend(texts) or embed(texts)))
    assert asked == ["One. Two.", "One. Two. Three.", "Two. Three."]


@pytest.mark.parametrize(
    "text",
    [
        "." * 60_000 + "x",
        "a. " * 40_000,
        "“" * 60_000,
        "x" * 200_000,
        ".)" * 40_000 + "x",
        "\n" * 60_000,
        "!?" * 40_000 + "x",
        "。" * 60_000,
    ],
    ids=["dots", "letters", "quotes", "one-word", "closed", "lines", "marks", "chinese"],
)
def test_no_text_takes_longer_than_its_length_says(text):
    begun = time.process_time()
    assert "".join(sentences_of(text)) == text
    pieces(text, 256)
    assert time.process_time() - begun < 3.0  # a tenth of that each; what grows with the square takes minutes


def test_where_a_chunk_stands_does_not_tell_it_apart():
    chunk = Chunk("x", ("a",), (Place(1),), "text")
    assert chunk.digest() == replace(chunk, places=(Place(2),)).digest()
    assert chunk.digest() != replace(chunk, context="y").digest()
    assert Chunk.from_json(replace(chunk, figure="ab").as_json()).figure == "ab"
