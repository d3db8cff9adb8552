"""Chunkers: nothing is lost, nothing is cut that belongs together, and each part says where it stands."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.chunkers import Chunk, pieces, sentences_of, tokens_in
from rag.chunkers.structure import Config
from rag.document import Bullets, Code, Figure, Heading, Paragraph, Place, Table


def words(number, start=0):
    return " ".join(f"w{i}." for i in range(start, start + number))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Dr. Who met Mr. X. Then, e.g. here, 3.5 of it.", ["Dr. Who met Mr. X. Then, e.g. here, 3.5 of it."]),
        ("第一句。第二句！“三？”四", ["第一句。", "第二句！", "“三？”", "四"]),
        ('He said "no." Then left.', ['He said "no."', "Then left."]),
        ("a\nb", ["a", "b"]),
        ("", []),
    ],
)
def test_sentences(text, found):
    assert [sentence.strip() for sentence in sentences_of(text)] == found


@given(st.text(max_size=300))
def test_sentences_are_the_text(text):
    assert "".join(sentences_of(text)) == text


@given(st.text(st.sampled_from("ab .。!\n雨x"), max_size=400), st.integers(3, 40))
def test_pieces_fit_and_nothing_is_lost(text, size):
    found = pieces(text, size)
    assert all(tokens_in(piece) <= size for piece in found)
    assert "".join("".join(found).split()) == "".join(text.split())


def test_blocks_of_a_section_share_a_chunk_and_sections_do_not():
    blocks = [
        Heading("A", 1), Paragraph("one", Place(1)), Paragraph("two", Place(2)), Bullets(((0, "x"), (1, "y"), (0, "z")), True),
        Heading("B", 2), Paragraph("three", Place(2)), Heading("C", 1), Figure("a plan", "of a house", None, Place(3)),
    ]  # fmt: skip
    found = list(Config().chunks(blocks))
    assert found == [
        Chunk("one\n\ntwo\n\n1. x\n  - y\n2. z", ("A",), (Place(1), Place(2), Place())),
        Chunk("three", ("A", "B"), (Place(2),)),
        Chunk("a plan\nof a house", ("C",), (Place(3),), "figure"),
    ]
    assert found[1].searched() == "A > B\nthree"


def test_a_heading_with_nothing_below_it_is_not_lost():
    blocks = [Heading("Plan", 0), Heading("Open", 1), Heading("Bare", 2, Place(1)), Heading("Said", 1), Paragraph("x")]
    found = list(Config().chunks([*blocks, Heading("Last", 1), Heading(" ", 1)]))
    assert found == [
        Chunk("Bare", ("Plan", "Open"), (Place(1),)),
        Chunk("x", ("Plan", "Said"), (Place(),)),
        Chunk("Last", ("Plan",), (Place(),)),
    ]


def test_a_table_is_cut_between_rows_and_has_its_header_and_caption_in_each_part():
    rows = tuple((f"k{i}", f"value {i} | x") for i in range(20))
    table = Table((("key", "value"), *rows), 1, "Table 1")
    found = list(Config(size=60).chunks([Heading("H", 1), table]))
    assert len(found) > 3
    head = "Table 1\n| key | value |\n| --- | --- |\n"
    assert all(chunk.kind == "table" and chunk.path == ("H",) and chunk.text.startswith(head) for chunk in found)
    assert all(tokens_in(chunk.text) <= 60 for chunk in found)
    lines = [line for chunk in found for line in chunk.text.removeprefix(head).split("\n")]
    assert lines == [f"| k{i} | value {i} \\| x |" for i in range(20)]
    wide = Table((("h",), (words(100),)), 1)
    (whole,) = Config(size=16).chunks([wide])
    assert whole.text.endswith("w99. |")
    (only,) = Config().chunks([Table((("a", "b"),), 1)])
    assert only.text.startswith("| a | b |")


def test_long_paragraphs_are_cut_between_sentences_and_may_overlap():
    text = " ".join(f"Sentence number {i}." for i in range(40))
    plain = list(Config(size=40).chunks([Paragraph(text)]))
    assert " ".join(chunk.text for chunk in plain) == text
    assert all(chunk.text.endswith(".") and tokens_in(chunk.text) <= 40 for chunk in plain)
    over = list(Config(size=40, overlap=10).chunks([Paragraph(text)]))
    for before, after in pairwise(over):
        assert sentences_of(before.text)[-1].strip() in after.text
    with pytest.raises(ValueError, match="at most half"):
        Config(size=40, overlap=30)


def test_code_keeps_its_lines():
    text = "\n".join(f"  line({i})" for i in range(30))
    found = list(Config(size=40).chunks([Code(text)]))
    assert "\n".join(chunk.text for chunk in found) == text
    assert len(found) > 2


def test_a_chunk_is_the_same_after_it_was_written():
    chunk = Chunk("x", ("a", "雨"), (Place(1, (0.0, 0.1, 0.5, 1.0)), Place(line=3)), "table", "more")
    assert Chunk.from_json(chunk.as_json()) == chunk
    assert Chunk.from_json(chunk.as_json()).digest() == chunk.digest() != chunk.with_text("y").digest()
