"""What stands beside chunks, who may see what, and many knowledge bases: what is found is what it stands for, for who may see it."""

import threading

import pytest

from easyrec.errors import ConfigError, DataError
from rag.bases import Bases
from rag.config import SearchConfig, load_rag
from rag.knowledge import KnowledgeBase
from rag.links import Via, common

pytest.importorskip("tantivy")
MODES = [SearchConfig(mode=mode) for mode in ("hybrid", "vector", "keyword")]


@pytest.fixture
def config(tmp_path, model_server):
    """The config of a knowledge base whose embedder is a server."""
    model_server.answer = model_server.word_vectors
    embedder = {"type": "server", "base_url": model_server.url, "model": "m", "key_env": "MODEL_KEY"}
    return load_rag({"knowledge": {"path": str(tmp_path / "kb"), "embedder": embedder}}).knowledge


@pytest.fixture
def base(config):
    with KnowledgeBase(config) as made:
        yield made


def texts(hits):
    return [hit.text for hit in hits]


def only(base, source):
    (part,) = base.parts(source)
    return part


def test_a_chunk_is_found_by_what_stands_beside_it(base, model_server):
    base.add_text("a", "Money comes back in five days.")
    base.add_text("b", "The canteen opens at noon.")
    part = only(base, "a")
    base.link(part.id, "question", ["How long does a refund take?", "When is a refund paid?", " "])
    for how in MODES:
        (hit,) = base.search("refund", how.model_copy(update={"k": 1}))
        assert hit.part == part
        assert hit.via.kind == "question"
        assert "refund" in hit.via.text
    assert [hit.part.source for hit in base.search("refund take canteen")] == ["a", "b"]  # each once
    assert base.search("canteen noon")[0].via is None
    assert [(p.link, p.parent, p.chunk.text) for p in base.links(part.id)] == [
        ("question", part.id, "How long does a refund take?"),
        ("question", part.id, "When is a refund paid?"),
    ]
    assert base.records.count() == (2, 2)
    assert len(base.keywords) == len(base.vectors) == 4
    assert [p.source for p in base.unlinked("question")] == ["b"]
    asked = len(model_server.asked)
    base.link(part.id, "question", ["When is a refund paid?"])  # it has a vector, and keeps its number
    assert len(model_server.asked) == asked
    assert [p.chunk.text for p in base.links(part.id)] == ["When is a refund paid?"]
    assert base.search("refund", MODES[0])[0].via == Via("question", "When is a refund paid?")
    base.unlink("question")
    assert len(base.keywords) == len(base.vectors) == 2
    assert len(base.unlinked("question")) == 2


def test_many_links_of_one_chunk_do_not_crowd_others_out(base):
    base.add_text("a", "Of refunds.")
    base.link(only(base, "a").id, "question", [f"refund number {i}" for i in range(12)])
    for i in range(5):
        base.add_text(f"b{i}", f"A long text that says refund once, of thing {i}.")
    for how in MODES:
        assert len(base.search("refund", how.model_copy(update={"k": 6, "candidates": 6}))) == 6


def test_what_stands_beside_a_chunk_lasts_as_long_as_the_chunk_says_the_same(base, tmp_path, model_server):
    path = tmp_path / "a.txt"
    path.write_text("First part of it.\n\n" + "word " * 250 + "\n\nLast part of it.\n")
    base.add([path])
    source = path.as_posix()
    first, *_, last = base.parts(source)
    for part in (first, last):
        base.link(part.id, "question", [f"What is said in {part.number}?"])
    over = base.add_tree(1, "All of it in short.", [first.id, last.id])
    of_last = base.add_tree(1, "The end in short.", [last.id])
    above = base.add_tree(2, "Everything.", [over, of_last])
    assert {p.id: p.children for p in base.trees()} == {
        over: (first.id, last.id), of_last: (last.id,), above: (over, of_last),
    }  # fmt: skip
    path.write_text("A new line.\n\n" + path.read_text())  # lines move, and what stands in them is the same
    path.write_text(path.read_text().replace("A new line.\n\nFirst", "Other first"))
    asked = len(model_server.asked)
    report = base.add([path])
    assert (report.updated, report.embedded) == ([source], 1)
    assert len(model_server.asked) == asked + 1
    assert base.links(first.id) == []
    assert [p.chunk.text for p in base.links(last.id)] == [f"What is said in {last.number}?"]
    assert [p.id for p in base.trees()] == [of_last]
    base.edit(last.id, "The very end.")
    assert base.trees() == base.links(last.id) == []
    base.link(last.id, "summary", ["All about zebras."])
    base.add_tree(1, "All about zebras.", [last.id])
    base.remove(source)
    assert base.search("zebras") == []
    assert (len(base.keywords), len(base.vectors)) == (0, 0)
    for table in ("chunks", "linked", "children", "over"):
        assert base.records._ask(f"SELECT count(*) FROM {table}", ()) == [(0,)]


def test_summaries_stand_for_themselves(base):
    base.add_text("a", "The first text.", {"team": "x", "year": 2020})
    base.add_text("b", "The second text.", {"team": "x", "year": 2021})
    tree = base.add_tree(1, "Both are about zebras.", [only(base, "a").id, only(base, "b").id])
    hit = base.search("zebras")[0]
    assert (hit.part.id, hit.part.link, hit.part.number, hit.part.chunk.kind) == (tree, "tree", 1, "summary")
    assert hit.part.source == "2 documents"
    assert hit.part.facts == {"team": ["x"]}
    assert base.search("zebras", filter={"team": "x"})[0].part.id == tree
    assert tree not in [h.part.id for h in base.search("zebras", filter={"year": 2020})]
    assert tree not in [h.part.id for h in base.search("zebras", filter={"source": "a"})]
    base.drop_trees()
    assert base.trees() == []


def test_what_cannot_be_linked_is_told(base):
    base.add_text("a", "Text.")
    number = only(base, "a").id
    with pytest.raises(DataError, match="no chunk 99"):
        base.link(99, "question", ["x"])
    with pytest.raises(ConfigError, match="'Big' is no kind of link"):
        base.link(number, "Big", ["x"])
    with pytest.raises(ConfigError, match="no kind of link"):
        base.link(number, "tree", ["x"])
    base.link(number, "question", ["x?"])
    with pytest.raises(DataError, match="no chunk"):  # a link has no links
        base.link(base.links(number)[0].id, "question", ["x"])
    tree = base.add_tree(2, "t", [number])
    for level, children in ((0, [number]), (2, [tree]), (1, [])):
        with pytest.raises(DataError, match="below that level"):
            base.add_tree(level, "t", children)


# -------------------------------------------------------------------------------------------------- access


def test_only_what_one_may_see_is_found(base):
    base.add_text("all", "The refund for everybody.")
    base.add_text("hr", "The refund of wages.", {"access": ["hr", "boss"]})
    base.add_text("none", "The refund that nobody sees.", {"access": []})
    may = {
        None: {"all", "hr", "none"},
        (): {"all"},
        ("hr",): {"all", "hr"},
        ("x", "boss"): {"all", "hr"},
        ("*",): {"all"},
    }
    for names, sources in may.items():
        for how in MODES:
            assert {hit.part.source for hit in base.search("refund", how, access=names)} == sources
        assert {document.source for document in base.documents(names)} == sources
        assert {s for s in ("all", "hr", "none") if base.parts(s, names)} == sources
        assert (base.part(only(base, "hr").id, names) is not None) == ("hr" in sources)
    # A filter narrows what one may see, and never widens it.
    assert base.search("refund", filter={"access": "hr"}, access=()) == []
    assert [h.part.source for h in base.search("refund", filter={"access": "hr"}, access=("hr",))] == ["hr"]
    with pytest.raises(ConfigError, match="list of names"):
        base.search("refund", access="hr")
    with pytest.raises(ConfigError, match="list of names"):
        base.add_text("bad", "x", {"access": [1]})


def test_links_and_summaries_are_seen_by_who_sees_all_that_they_are_of(base):
    base.add_text("all", "One.")
    base.add_text("hr", "Two.", {"access": ["hr"]})
    base.add_text("both", "Three.", {"access": ["hr", "ads"]})
    base.link(only(base, "hr").id, "question", ["About zebras?"])
    base.add_tree(1, "Zebras of all.", [only(base, s).id for s in ("all", "hr", "both")])
    base.add_tree(1, "Zebras of two.", [only(base, s).id for s in ("all", "both")])
    for names, found in {
        (): set(), ("ads",): {"Zebras of two."}, ("hr",): {"Two.", "Zebras of all.", "Zebras of two."},
    }.items():  # fmt: skip
        for how in MODES[:1] + MODES[2:]:
            got = {hit.text for hit in base.search("zebras", how, access=names) if "keyword" in hit.parts}
            assert got == found
    base.add_text("both", "Three.", {"access": ["ads"]})
    assert {h.text for h in base.search("zebras", MODES[2], access=("hr",))} == {"Two."}
    assert common([{"access": ["a"]}, {"access": ["b"]}]) == {"access": []}
    assert common([{"access": ["a", "b"]}, {"access": ["*"]}, {}]) == {"access": ["a", "b"]}
    assert common([{"x": [1, True]}, {"x": [True]}]) == {"x": [True]}


def test_an_index_that_lags_behind_shows_nothing_that_one_may_not_see(config):
    with KnowledgeBase(config) as base, KnowledgeBase(config) as other:
        base.add_text("a", "The refund.")
        other.refresh()
        assert other.search("refund", access=())
        with base.records.writing():
            base.records.writer.know("a", {"access": ["hr"]}, 0.0)
        assert other.search("refund", access=()) == []


def test_documents_added_again_stay_with_who_may_see_them(base, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("The refund.")
    base.add([path], {"access": ["hr"], "team": "x"})
    base.add([path])
    path.write_text("The refund again.")
    base.add([path])
    assert base.records.document(path.as_posix()).facts == {"access": ["hr"], "team": ["x"]}
    base.add([path], {"team": "y"})
    assert base.records.document(path.as_posix()).facts == {"access": ["hr"], "team": ["y"]}
    assert base.search("refund", access=()) == []
    base.add([path], {"access": ["*"]})
    assert len(base.search("refund", access=())) == 1


# --------------------------------------------------------------------------------------------------- bases


@pytest.fixture
def bases(tmp_path, config):
    with Bases(tmp_path / "bases", config) as made:
        yield made


def test_knowledge_bases_have_names_and_settings_of_their_own(bases, tmp_path, config):
    assert bases.names() == []
    one = bases.create("one")
    two = bases.create("two-2", {"chunker": {"type": "structure", "size": 64}, "embedder": None})
    assert bases.names() == ["one", "two-2"]
    assert (one.config.chunker, two.config.chunker.size) == (config.chunker, 64)
    assert two.embedder is None
    one.add_text("a", "The refund.")
    assert (len(one.search("refund")), two.search("refund")) == (1, [])
    assert bases.open("one") is one
    with Bases(tmp_path / "bases", config) as again:
        assert again.names() == ["one", "two-2"]
        assert again.overrides("two-2") == {"chunker": {"type": "structure", "size": 64}, "embedder": None}
        assert again.open("two-2").config.chunker.size == 64
        assert len(again.open("one").search("refund")) == 1
    bases.change("one", {"chunker": {"type": "structure", "size": 32}})
    assert one.closed
    assert bases.open("one").config.chunker.size == 32
    assert bases.open("one").embedder is one.embedder  # a model is loaded once
    assert bases.drop("one")
    assert not bases.drop("one")
    assert [path.name for path in (tmp_path / "bases").iterdir()] == ["two-2"]


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".x", "A", "x" * 65, "a\n", "é", "con text", None])
def test_names_are_no_paths(bases, name):
    for call in (bases.create, bases.open, bases.drop, bases.config_of):
        with pytest.raises(ConfigError, match="is no name of a knowledge base"):
            call(name)


def test_settings_that_cannot_be_leave_nothing(bases, tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'chunker'"):
        bases.create("x", {"chunkr": {}})
    with pytest.raises(ConfigError, match="'path' is where"):
        bases.create("x", {"path": "/etc"})
    with pytest.raises(ConfigError, match="no knowledge base 'x'"):
        bases.open("x")
    assert list((tmp_path / "bases").iterdir()) == []
    bases.create("x")
    with pytest.raises(ConfigError, match="'x' already"):
        bases.create("x")


def test_a_knowledge_base_is_opened_once_however_many_ask(bases):
    bases.create("x").close()
    found = []
    threads = [threading.Thread(target=lambda: found.append(bases.open("x"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
    assert not found[0].closed
