"""What people make of chunks: it is found, it stays as long as what it stands for, and what is lost is told."""

import pytest

from easyrec.errors import DataError
from rag.config import SearchConfig, load_rag
from rag.knowledge import KnowledgeBase

pytest.importorskip("tantivy")

WORDS = SearchConfig(mode="keyword", k=10)


@pytest.fixture
def base(tmp_path, model_server):
    model_server.answer = model_server.word_vectors
    embedder = {"type": "server", "base_url": model_server.url, "model": "m", "key_env": "MODEL_KEY"}
    told = {"path": str(tmp_path / "kb"), "embedder": embedder, "chunker": {"type": "structure", "size": 16}}
    with KnowledgeBase(load_rag({"knowledge": told}).knowledge) as made:
        yield made


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.txt"
    write(path, "alpha", "beta", "gamma", "delta")
    return path


def write(path, *names):
    """A file of a chunk for each name."""
    path.write_text("\n\n".join(f"{name} " + "filler " * 10 for name in names))


def names(base, file):
    return [part.chunk.text.split()[0] for part in base.parts(file.as_posix())]


def checked(base):
    """Both indexes have what the records have."""
    count = sum(len(base.records.parts_of(d.id)) for d in base.documents())
    assert len(base.keywords) == len(base.vectors) == count == base.records.count()[1]
    for document in base.documents():
        assert [part.number for part in base.records.parts_of(document.id)] == list(range(document.chunks))


def test_edits_last_as_long_as_what_they_stand_for(base, file, model_server):
    base.add([file])
    alpha, beta, gamma, delta = base.parts(file.as_posix())
    base.edit(beta.id, "edited words")
    assert base.parts(file.as_posix())[1].edited
    asked = sum(len(body["input"]) for body in model_server.bodies())
    assert len(base.add([file]).unchanged) == 1
    base.add([file], {"team": "x"})
    assert names(base, file) == ["alpha", "edited", "gamma", "delta"]
    assert [h.text for h in base.search("edited", WORDS, filter={"team": "x"})] == ["edited words"]
    write(file, "new", "alpha", "beta", "gamma", "delta")
    report = base.add([file])
    assert (report.embedded, report.lost) == (1, {})
    assert names(base, file) == ["new", "alpha", "edited", "gamma", "delta"]
    assert [part.id for part in base.parts(file.as_posix())][1:] == [alpha.id, beta.id, gamma.id, delta.id]
    # What it stood for is not embedded again.
    assert sum(len(body["input"]) for body in model_server.bodies()) == asked + 1
    checked(base)
    write(file, "new", "alpha", "gamma", "delta")
    report = base.add([file])
    assert report.lost == {file.as_posix(): ["edited words"]}
    assert names(base, file) == ["new", "alpha", "gamma", "delta"]
    assert base.search("edited", WORDS) == []
    checked(base)


def test_chunks_are_joined_cut_and_taken_away(base, file):
    base.add([file])
    alpha, beta, gamma, delta = (part.id for part in base.parts(file.as_posix()))
    base.link(beta, "question", ["What of beta?"])
    assert base.merge([beta, alpha]) == alpha
    assert names(base, file) == ["alpha", "gamma", "delta"]
    assert "beta" in base.part(alpha).chunk.text
    assert base.links(alpha) == []
    checked(base)
    first, second, third = base.split(gamma, ["one", "two", "three"])
    assert first == gamma
    assert names(base, file) == ["alpha", "one", "two", "three", "delta"]
    base.drop(second)
    base.drop(delta)
    assert names(base, file) == ["alpha", "one", "three"]
    checked(base)
    assert base.search("two", WORDS) == base.search("delta", WORDS) == []
    # All of it comes again with the chunks that it was made of, wherever they stand.
    write(file, "gamma", "zeta", "alpha", "beta", "delta", "omega")
    report = base.add([file])
    assert (names(base, file), report.lost, report.embedded) == (["one", "three", "zeta", "alpha", "omega"], {}, 2)
    assert "beta" in base.part(alpha).chunk.text
    checked(base)
    base.merge([third, base.parts(file.as_posix())[2].id])  # of something that was split, and of another one
    assert names(base, file) == ["one", "three", "alpha", "omega"]
    write(file, "gamma", "alpha", "beta", "delta")  # zeta is gone, and with it all that was joined with it
    report = base.add([file])
    assert names(base, file) == ["gamma", "alpha"]
    assert [text.split()[0] for text in report.lost[file.as_posix()]] == ["one", "three"]
    write(file, "gamma", "alpha", "beta")
    assert base.add([file]).lost == {file.as_posix(): [""]}  # delta had been taken away
    checked(base)
    base.remove(file.as_posix())
    assert base.records._ask("SELECT count(*) FROM edits", ()) == [(0,)]


def test_links_and_summaries_can_be_edited_and_taken_away(base, file):
    base.add([file])
    alpha, beta, *_ = (part.id for part in base.parts(file.as_posix()))
    base.link(alpha, "question", ["What of zebras?", "And of lions?"])
    zebras, lions = (part.id for part in base.links(alpha))
    base.edit(zebras, "What of tigers?")
    assert base.search("zebras", WORDS) == []
    assert base.search("tigers", WORDS)[0].part.id == alpha
    base.drop(lions)
    assert base.search("lions", WORDS) == []
    tree = base.add_tree(1, "All in short.", [alpha, beta])
    higher = base.add_tree(2, "All of all.", [tree])
    base.edit(tree, "Summed up.")
    assert [part.id for part in base.trees()] == [tree]
    assert base.part(higher) is None
    base.drop(tree)
    assert base.trees() == []


def test_what_cannot_be_done_is_told(base, file):
    base.add([file])
    base.add_text("b", "beta")
    alpha, _, gamma, _ = (part.id for part in base.parts(file.as_posix()))
    base.link(alpha, "question", ["What?"])
    (link,) = (part.id for part in base.links(alpha))
    (other,) = (part.id for part in base.parts("b"))
    for call, told in [
        (lambda: base.edit(99, "x"), "no chunk 99"), (lambda: base.edit(alpha, " "), "empty text"),
        (lambda: base.split(alpha, []), "empty text"), (lambda: base.split(link, ["a", "b"]), "stands beside"),
        (lambda: base.merge([alpha, gamma]), "follow each other"), (lambda: base.merge([alpha]), "follow each other"),
        (lambda: base.merge([alpha, other]), "follow each other"), (lambda: base.merge([alpha, link]), "stands beside"),
        (lambda: base.drop(99), "no chunk 99"),
    ]:  # fmt: skip
        with pytest.raises(DataError, match=told):
            call()
    assert names(base, file) == ["alpha", "beta", "gamma", "delta"]


def test_what_is_read_in_the_place_of_neighbours_says_what_somebody_wrote(tmp_path):
    told = {"path": str(tmp_path / "kb"), "chunker": {"type": "sentence_window", "window": 1}}
    path = tmp_path / "a.txt"
    path.write_text("First of all. Then wrong. At last.")
    with KnowledgeBase(load_rag({"knowledge": told}).knowledge) as base:
        base.add([path])
        first, wrong, last = (part.id for part in base.parts(path.as_posix()))
        base.link(last, "question", ["What is last?"])
        base.edit(wrong, "Then right.")
        read = [part.chunk.context for part in base.parts(path.as_posix())]
        assert read == ["First of all. Then right.", "First of all. Then right. At last.", "Then right. At last."]
        assert len(base.links(last)) == 1
        base.drop(first)
        assert [part.chunk.context for part in base.parts(path.as_posix())] == [
            " Then right. At last.",
            "Then right. At last.",
        ]
        assert not any("wrong" in hit.text for hit in base.search("first wrong last", WORDS))
        path.write_text("A heading of it.\n\n" + path.read_text())
        report = base.add([path])
        assert [hit.text for hit in base.search("wrong", WORDS)] == []
        assert report.lost == {} or all("wrong" not in text for texts in report.lost.values() for text in texts)


def test_pictures_are_kept_once_and_go_with_the_last_that_has_them(base, tmp_path):
    from rag.chunkers import Chunk
    from rag.figures import digest_of
    from rag.records import New
    from rag.writer import Whole

    png, other = b"\x89PNG\r\n\x1a\n1", b"\x89PNG\r\n\x1a\n" + b"2" * 100

    def put(source, *pictures, room=1000, facts=None):
        new = [
            New(Chunk(f"{source} {i}", kind="figure", figure=digest_of(p)), bytes([i]), None)
            for i, p in enumerate(pictures)
        ]
        whole = Whole(source, "d", facts or {}, new, figures={digest_of(p): p for p in pictures})
        with base.records.writing():
            return base.records.writer.put(whole, 0.0, room)

    assert put("a", png, other).left_out == 0
    assert put("b", png, facts={"access": ["hr"]}).left_out == 0
    assert base.records.figures.size() == len(png) + len(other)
    assert [base.figure(part.id) for part in base.parts("a")] == [png, other]
    (own,) = base.parts("b")
    assert (base.figure(own.id, ()), base.figure(own.id, ("hr",)), base.figure(999)) == (None, png, None)
    put("a", png)
    assert base.records.figures.size() == len(png)
    base.remove("a")
    assert base.figure(own.id) == png
    base.remove("b")
    assert base.records.figures.size() == 0
    assert put("c", png, other, room=50).left_out == 1
    assert [base.figure(part.id) for part in base.parts("c")] == [png, None]
