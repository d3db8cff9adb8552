"""The knowledge base: what is added is found, what has changed is made anew and nothing else, what is gone is found nowhere."""

import multiprocessing
import random
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from easyrec.errors import ConfigError, DataError, RunError
from rag.config import SearchConfig, load_rag
from rag.fusion import DBSF, RRF, MinMax, fused
from rag.knowledge import KnowledgeBase

pytest.importorskip("tantivy")

HANDBOOK = """# Handbook

## Refunds

A refund takes five days. It goes to the card that paid.

## Holidays

Everybody has thirty days of holidays.

| office | closed on |
|---|---|
| Berlin | 3 October |
| 北京 | 1 October |
"""


@pytest.fixture
def config(tmp_path, model_server):
    """Makes configs of a knowledge base whose embedder is a server."""
    model_server.answer = model_server.word_vectors

    def make(*, vectors=True, **fields):
        embedder = {"type": "server", "base_url": model_server.url, "model": "m", "key_env": "MODEL_KEY"}
        told = {"path": str(tmp_path / "kb"), **({"embedder": embedder} if vectors else {}), **fields}
        return load_rag({"knowledge": told}).knowledge

    return make


@pytest.fixture
def folder(tmp_path):
    """Some documents."""
    made = tmp_path / "docs"
    (made / "sub").mkdir(parents=True)
    (made / "handbook.md").write_text(HANDBOOK)
    (made / "sub" / "handbook.md").write_text("# Other\n\nThe canteen opens at noon.\n")
    (made / "prices.csv").write_text("item,price\nchair,10\ntable,20\n")
    return made


def texts(hits):
    return [hit.text for hit in hits]


@pytest.mark.parametrize("vectors", [True, False])
def test_documents_are_found(config, folder, vectors):
    pytest.importorskip("markdown_it")
    with KnowledgeBase(config(vectors=vectors)) as base:
        report = base.add([folder])
        assert (len(report.added), report.chunks, report.failed) == (3, 5, {})
        best = base.search("how long does a refund take?")[0]
        assert best.text.startswith("A refund takes five days.")
        assert best.part.chunk.path == ("Handbook", "Refunds")
        assert best.part.source == (folder / "handbook.md").as_posix()
        assert set(best.parts) == ({"vector", "keyword"} if vectors else {"keyword"})
        assert "北京" in base.search("北京 closed")[0].text
        assert [d.source for d in base.documents()] == sorted(report.added)
        found = base.search("price of a table", filter={"kind": "table"})
        assert found[0].text.endswith("| table | 20 |")
        assert base.search("refund", filter={"source": "x"}) == []
        assert base.search("") == base.search("", SearchConfig(mode="keyword")) or vectors


def test_only_what_has_changed_is_embedded(config, folder, model_server):
    pytest.importorskip("markdown_it")
    with KnowledgeBase(config()) as base:
        first = base.add([folder])
        assert first.embedded == first.chunks == 5
        ids = {part.chunk.text: part.id for d in base.documents() for part in base.records.parts_of(d.id)}
        again = base.add([folder])
        assert (len(again.unchanged), again.embedded, again.chunks) == (3, 0, 0)
        (folder / "handbook.md").write_text(HANDBOOK.replace("five days", "nine days"))
        changed = base.add([folder])
        assert (len(changed.updated), len(changed.unchanged), changed.embedded) == (1, 2, 1)
        after = {part.chunk.text: part.id for d in base.documents() for part in base.records.parts_of(d.id)}
        assert {t: ids[t] for t in ids.keys() & after.keys()} == {t: after[t] for t in ids.keys() & after.keys()}
        assert len(ids.keys() & after.keys()) == 4
        assert "nine" in base.search("refund days")[0].text
        assert not any("five" in text for text in texts(base.search("refund takes five days")))
        base.add([folder], {"team": "ads"})
        assert len(base.search("refund", filter={"team": "ads"})) > 0


def test_what_is_removed_is_found_nowhere(config, folder):
    with KnowledgeBase(config()) as base:
        base.add_text("a", "The refund takes five days.", {"team": "x"})
        base.add_text("b", "The refund takes five weeks.", {"team": "y"})
        assert base.remove("a")
        assert not base.remove("a")
        for mode in ("hybrid", "vector", "keyword"):
            assert texts(base.search("refund five days", SearchConfig(mode=mode))) == ["The refund takes five weeks."]
        assert base.search("refund", filter={"team": "x"}) == []
        assert (len(base.vectors), len(base.keywords)) == (1, 1)


def test_documents_go_with_their_files(config, folder):
    with KnowledgeBase(config(vectors=False)) as base:
        base.add([folder])
        base.add_text("note", "The refund takes five days.")
        (other := folder.parent / "docs2").mkdir()
        (other / "a.txt").write_text("The depot is closed.")
        base.add([other])
        (folder / "prices.csv").unlink()
        (other / "a.txt").unlink()
        assert base.add([folder]).removed == [], "only where that is asked for"
        assert base.add([folder / "sub", folder / "handbook.md"], prune=True).removed == []
        gone = base.add([f"{other}/../docs"], under=f"{other}/../docs", prune=True).removed
        assert gone == [(folder / "prices.csv").as_posix()]
        assert not base.search("price of a chair", filter={"kind": "table", "source": gone[0]})
        report = base.add([other], prune=True)
        assert report.removed == []
        assert "is empty: 1 documents" in report.failed[other.as_posix()], "it may be a disk that is not there"
        (other / "new.txt").write_text("The depot is open.")
        assert base.add([other], prune=True).removed == [(other / "a.txt").as_posix()]
        shutil.rmtree(folder / "sub")
        both = [(folder / "sub" / "handbook.md").as_posix(), "sub/handbook.md"]
        assert base.add([folder], prune=True).removed == both, "whatever they are called"
        left = [(folder / "handbook.md").as_posix(), (other / "new.txt").as_posix(), "handbook.md", "note"]
        assert [document.source for document in base.documents()] == left


def test_a_file_that_cannot_be_read_fails_alone_and_what_was_known_stays(config, folder):
    with KnowledgeBase(config(vectors=False)) as base:
        base.add([folder])
        (folder / "prices.csv").write_bytes(b"\0\0\0")
        (folder / "new.txt").write_text("A new text.")
        report = base.add([folder, folder / "none.txt"])
        assert list(report.failed) == [(folder / "prices.csv").as_posix(), (folder / "none.txt").as_posix()]
        assert "is no text" in report.failed[(folder / "prices.csv").as_posix()]
        assert report.added == [(folder / "new.txt").as_posix()]
        assert base.search("chair")


def test_it_is_the_same_when_it_is_opened_again(config, folder):
    questions = ["refund days", "北京", "canteen", "price"]
    with KnowledgeBase(config()) as base:
        base.add([folder])
        before = [[(hit.part.id, round(hit.score, 5)) for hit in base.search(q)] for q in questions]
    with KnowledgeBase(config()) as base:
        assert [[(hit.part.id, round(hit.score, 5)) for hit in base.search(q)] for q in questions] == before
    # Whatever is lost beside the records is made anew.
    kb = folder.parent / "kb"
    for path in [*(kb / "vectors" / "index").iterdir(), *(kb / "keyword").iterdir()]:
        path.unlink()
    with KnowledgeBase(config()) as base:
        assert [[(hit.part.id, round(hit.score, 5)) for hit in base.search(q)] for q in questions] == before


def test_indexes_of_other_records_are_made_anew(config, tmp_path):
    with KnowledgeBase(config(vectors=False)) as base:
        for i in range(3):
            base.add_text(f"a{i}", f"The refund number {i}.")
    for path in (tmp_path / "kb").glob("records.db*"):
        path.unlink()
    with KnowledgeBase(config(vectors=False)) as base:
        assert (base.search("refund"), len(base.keywords)) == ([], 0)


def test_one_who_reads_sees_what_another_wrote(config):
    with KnowledgeBase(config()) as writer, KnowledgeBase(config()) as reader:
        writer.add_text("a", "The refund takes five days.")
        reader.refresh()
        assert len(reader.search("refund")) == 1
        reader.add_text("b", "No refund for tickets.")
        writer.refresh()
        assert len(writer.search("refund")) == 2
        assert len(writer.vectors) == len(reader.vectors) == 2


def test_who_reads_waits_for_nobody_who_writes_and_sees_nothing_half(config):
    with KnowledgeBase(config(vectors=False)) as base, ThreadPoolExecutor(1) as other:
        base.add_text("a", "The refund takes five days.")
        with base.records.writing():
            base.records.writer.drop("a")
            assert base.documents() == []
            assert len(other.submit(base.search, "refund").result(60)) == 1
            assert len(other.submit(base.documents).result(60)) == 1
        assert base.documents() == other.submit(base.documents).result(60) == []


def test_another_embedder_makes_all_vectors_anew(config, model_server):
    with KnowledgeBase(config(vectors=False)) as base:
        base.add_text("a", "The refund takes five days.")
    with KnowledgeBase(config()) as base:
        assert len(base.vectors) == 0
        assert len(base.search("refund")) == 1
        assert base.add([]).embedded == 1
        assert len(base.vectors) == 1
        embedder = base.config.embedder.model_dump()
    with KnowledgeBase(config(embedder={**embedder, "document_prefix": "passage: "})) as base:
        assert len(base.vectors) == 0
        assert base.add([]).embedded == 1
        assert base.search("refund", SearchConfig(mode="vector"))[0].part.source == "a"


def test_a_chunk_can_be_edited(config):
    with KnowledgeBase(config()) as base:
        base.add_text("a", "The refund takes five days.")
        (hit,) = base.search("refund")
        base.edit(hit.part.id, "The refund takes a moment.")
        assert texts(base.search("refund moment")) == ["The refund takes a moment."]
        assert base.search("five", SearchConfig(mode="keyword")) == []
        with pytest.raises(DataError, match="no chunk 99"):
            base.edit(99, "x")


def test_a_reranker_decides_last(config, model_server):
    def answer(path, body):
        if path != "/rerank":
            return model_server.word_vectors(path, body)
        return {"results": [{"index": i, "relevance_score": -len(d)} for i, d in enumerate(body["documents"])]}

    model_server.answer = answer
    rerank = {"type": "server", "base_url": model_server.url, "model": "m", "key_env": "MODEL_KEY"}
    how = load_rag({"knowledge": {"path": "x"}, "search": {"k": 2, "reranker": rerank, "reranked": 3}}).search
    with KnowledgeBase(config()) as base, how.reranker.open() as reranker:
        for source, text in (("a", "refund refund of a longer text"), ("b", "refund text"), ("c", "refund")):
            base.add_text(source, text)
        hits = base.search("refund", how, reranker=reranker)
        assert texts(hits) == ["refund", "refund text"]
        assert hits[0].score == hits[0].parts["reranker"] == -6
        assert base.search("refund", how.model_copy(update={"min_score": -7.0}), reranker=reranker)[0].text == "refund"


def test_searches_that_cannot_be(config):
    with KnowledgeBase(config(vectors=False)) as base:
        with pytest.raises(ConfigError, match=r"needs 'knowledge\.embedder'"):
            base.search("x", SearchConfig(mode="vector"))
        with pytest.raises(ConfigError, match="no name of a fact"):
            base.search("x", filter={"a b": 1})
    with pytest.raises(ConfigError, match="must be 'hybrid', 'vector' or 'keyword'"):
        load_rag({"knowledge": {"path": "x"}, "search": {"mode": "hybird"}})


# -------------------------------------------------------------------------------------------------- fusion


def found(**scores):
    order = sorted(scores.items(), key=lambda entry: -entry[1])
    return np.array([ord(n) for n, _ in order]), np.array([s for _, s in order], np.float32)


@pytest.mark.parametrize(
    ("by", "scores"),
    [
        (MinMax(), {"b": 0.5 * 0.5 + 0.5, "a": 0.5, "d": 0.5 * 0.5, "c": 0.0}),
        (MinMax(keyword=0.2), {"a": 0.8, "b": 0.8 * 0.5 + 0.2, "d": 0.1, "c": 0.0}),
        (RRF(k=1.0), {"b": 0.5 / 3 + 0.5 / 2, "a": 0.5 / 2, "d": 0.5 / 3, "c": 0.5 / 4 + 0.5 / 4}),
    ],
)
def test_two_lists_become_one(by, scores):
    vector, keyword = found(a=0.9, b=0.7, c=0.5), found(b=12.0, d=8.0, c=4.0)
    numbers, made = fused(vector, keyword, 4, by)
    want = sorted(scores.items(), key=lambda entry: (-entry[1], entry[0]))
    assert [chr(n) for n in numbers] == [name for name, _ in want]
    np.testing.assert_allclose(made, [score for _, score in want], rtol=1e-5)


def test_lists_may_be_empty_or_all_alike():
    empty = np.empty(0, np.int64), np.empty(0, np.float32)
    for by in (MinMax(), RRF(), DBSF()):
        assert len(fused(empty, empty, 3, by)[0]) == 0
        assert list(fused(found(a=1.0, b=1.0), empty, 3, by)[0]) == [97, 98]
    numbers, scores = fused(found(a=4.0, b=2.0, c=0.0), empty, 2, DBSF(keyword=0.0))
    assert list(numbers) == [97, 98]
    np.testing.assert_allclose(scores, [0.5 + 2 / (6 * np.std([4, 2, 0])), 0.5], rtol=1e-5)


# -------------------------------------------------------------------------------------------------- crashes


def ingest(config, docs):
    """What is killed."""
    import rag.embedding
    import rag.knowledge

    rag.knowledge.TOGETHER, rag.embedding.AT_ONCE = 20, 8
    with KnowledgeBase(config) as base:
        base.add([docs])


def killed(config, tmp_path, model_server, *, documents, kills, seed):
    """Ingest, killed at random moments until it was killed so often, and then to its end; all that is there is whole."""
    docs = tmp_path / "docs"
    docs.mkdir()
    for i in range(documents):
        (docs / f"{i}.txt").write_text("\n\n".join(f"Document {i} says part {p} of it. " * 30 for p in range(8)))
    model_server.answer = lambda path, body: model_server.Reply(model_server.word_vectors(path, body), wait=0.02)
    draw, done, ended = random.Random(seed), 0, False
    while not ended:
        process = multiprocessing.get_context("fork").Process(target=ingest, args=(config(), docs))
        process.start()
        if done < kills:
            moment = len(model_server.asked) + draw.randint(0, max(1, 2 * documents // kills))
            while process.is_alive() and len(model_server.asked) < moment:
                time.sleep(0.001)
            time.sleep(draw.uniform(0.0, 0.08))
            if process.is_alive():
                process.kill()
                done += 1
        process.join()
        ended = process.exitcode == 0
        process.close()
        with KnowledgeBase(config()) as base:
            for document in base.documents():
                parts = base.records.parts_of(document.id)
                assert [part.number for part in parts] == list(range(document.chunks))
                assert document.chunks == 16
            assert len(base.keywords) == len(base.vectors) == base.records.count()[1]
    with KnowledgeBase(config()) as base:
        assert base.records.count() == (documents, 16 * documents)
        assert len(base.keywords) == len(base.vectors) == 16 * documents
        assert base.add([docs]).embedded == 0
    asked = [text for body in model_server.bodies() for text in body["input"]]
    twice = len(asked) - len(set(asked))
    assert len(set(asked)) == 16 * documents
    assert twice <= 8 * done  # those whose vectors were on their way when it was killed
    return done, twice


def test_a_killed_ingest_goes_on(config, tmp_path, model_server):
    assert killed(config, tmp_path, model_server, documents=6, kills=2, seed=1)[0] == 2


@pytest.mark.slow
def test_an_ingest_killed_twenty_times_leaves_each_document_in_or_out_and_pays_nothing_twice(
    config, tmp_path, model_server
):
    done, twice = killed(config, tmp_path, model_server, documents=60, kills=20, seed=3)
    print(f"killed {done} times, {twice} of 960 texts asked for twice")
    assert done == 20


def test_an_index_of_words_that_is_damaged_is_named_with_what_to_do(tmp_path):
    config = load_rag({"knowledge": {"path": str(tmp_path / "kb")}}).knowledge
    with KnowledgeBase(config) as base:
        base.add_text("a.md", "A refund takes five days.")
    folder = tmp_path / "kb" / "keyword"
    for lost in ("meta.json", "keyword.json"):
        (folder / lost).unlink()
        with pytest.raises(RunError, match=r"keyword is removed, it is made anew"):
            KnowledgeBase(config)
        shutil.rmtree(folder)
        with KnowledgeBase(config) as base:
            assert [hit.text for hit in base.search("refund")] == ["A refund takes five days."]
