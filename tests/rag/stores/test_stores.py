"""What every vector store does: the nearest that pass a filter, added, replaced and taken away, by whoever has it open."""

import contextlib
import importlib.util
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from easyrec.errors import ConfigError, StoreError
from easyrec.retrieval.filters import conditions_of, facts_of

_SPEC = importlib.util.spec_from_file_location("stores_conftest", Path(__file__).with_name("conftest.py"))
_CONFTEST = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_CONFTEST)
KINDS, SERVERS, PASSWORD = _CONFTEST.KINDS, _CONFTEST.SERVERS, _CONFTEST.PASSWORD
DIM = 8
NASTY = [
    "a'b",
    'a"b',
    "100%",
    "a\\b",
    "back`tick",
    "'; DROP TABLE easyrec_vectors; --",
    '"]) or number >= 0 or array_contains_any(terms, ["',
    '{"match_all": {}}',
    "${HOME} {0} %s :1",
    "北京",
    "e\u0301",
    "é",
    "\U0001f600",
    "",
    " ",
    "*",
    "#x",
    "x" * 256,
    "x" * 257,
    "x" * 40_000,
    "a\0b",
    "a\nb\tc",
    "true",
    "1",
]
FACTS = [
    *({"name": value} for value in NASTY),
    {"name": ["one", "two", "three"], "year": 2020},
    {"name": "one", "year": 2021, "open": True},
    {"year": [1990, 2024.5], "open": False, "name": "two"},
    {"year": -0.0, "open": [True, False]},
    {"year": 1e300, "name": 1},
    {"year": -1e-300, "name": 1.0},
    {"year": 2**53 + 1, "name": True},
    {"year": "2020", "name": []},
    {},
    {"other": ["a"] * 3, "year": 0.1},
]
FILTERS = [
    None,
    *({"name": value} for value in NASTY),
    *({"name": {"none": [value]}} for value in NASTY[5:7]),
    {"name": ["one", "two"]},
    {"name": {"none": ["one", "a'b"]}},
    {"name": {"any": ["one", "two"], "none": ["three"]}},
    {"name": 1},
    {"name": True},
    {"name": [1, "1", True]},
    {"year": 2020},
    {"year": 2020.0},
    {"year": "2020"},
    {"year": {"gte": 2020}},
    {"year": {"gt": 2020, "lt": 2024.5}},
    {"year": {"gt": 2020, "lte": 2024.5}},
    {"year": {"lt": 0}},
    {"year": {"gte": 0, "lte": 0}},
    {"year": {"gt": 5, "lt": 5}},
    {"year": {"gte": 9, "lte": 3}},
    {"year": {"gte": 1e300}},
    {"year": {"gt": 1e300}},
    {"year": {"gte": 2**53, "lte": 2**53 + 2}},
    {"year": {"gte": 0.1, "lte": 0.1}},
    {"year": {"gte": 2000, "any": [2020, 2021], "none": [2021]}},
    {"open": True},
    {"open": False},
    {"open": {"none": [True]}},
    {"open": True, "year": {"gte": 2021}},
    {"missing": "x"},
    {"missing": {"none": ["x"]}},
    {"missing": {"gte": 0}},
    {"name": [f"v{i}" for i in range(999)] + ["one"]},
    {"name": {"none": [f"v{i}" for i in range(999)] + ["one"]}},
]


def vectors(count, seed=1, dim=DIM):
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


def told(*stores, numbers, vectors, facts):
    for store in stores:
        store.add(numbers, vectors, facts)


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_does_what_the_obvious_one_does(kind, place_of, obvious):
    """Empty, filled, replaced, taken away, filtered, cleared, opened again, with another beside it: on one server."""
    place = place_of(kind)
    store, questions = place.open(), vectors(3, seed=2)
    assert (len(store), store.told()) == (0, 0)
    obvious.agrees(store, questions[0], 5)
    store.remove(np.array([1, 2]))
    store.commit(1)

    numbers = np.arange(len(FACTS), dtype=np.int64) * 7 + (1 << 40)
    told(store, obvious, numbers=numbers, vectors=vectors(len(FACTS)), facts=[facts_of(known) for known in FACTS])
    store.commit(5)
    assert (len(store), store.told()) == (len(FACTS), 5)
    for each in FILTERS:
        obvious.agrees(store, questions[0], 4, conditions_of(each))
    for k in (0, 1, 7, 1000):
        obvious.agrees(store, questions[1], k)
        obvious.agrees(store, questions[1], k, conditions_of({"year": {"gte": 0}}))

    # What is replaced, also by itself and twice, has new vectors and facts; what was taken away is nowhere.
    changed = numbers[::3]
    for _ in range(2):
        told(
            store, obvious, numbers=changed, vectors=vectors(len(changed), 7), facts=[{"name": ("new",)}] * len(changed)
        )
        gone = np.array([*numbers[1::5], 3, 4])
        store.remove(gone)
        obvious.remove(gone)
    store.commit(9)
    for each in (None, {"name": "new"}, {"name": {"none": ["new"]}}, {"name": "one"}, {"year": {"gte": 0}}):
        obvious.agrees(store, questions[2], 1000, conditions_of(each))
    assert len(store) == len(obvious.entries)

    # Another knowledge base of the same server knows nothing of it.
    other = place.open("Other-kb.2")
    assert (len(other), other.told()) == (0, 0)
    other.add(np.array([5]), vectors(1, 9, 3), [{}])
    other.commit(2)
    assert other.search(vectors(1, 9, 3)[0], 5)[0].tolist() == [5]
    obvious.agrees(store, questions[2], 1000)

    with pytest.raises(StoreError, match=r"numbers|must be"):
        store.search(vectors(1, dim=DIM + 1)[0], 3)
    with pytest.raises(StoreError, match=r"numbers|must be"):
        store.add(np.array([1]), vectors(1, dim=DIM + 1), [{}])
    bad = vectors(1)
    bad[0, 3] = np.nan
    with pytest.raises(StoreError, match="not finite"):
        store.add(np.array([1]), bad, [{}])
    obvious.agrees(store, questions[2], 1000)

    # Opened again it is as it was.
    place.close()
    store = place.open()
    assert (store.told(), len(store)) == (9, len(obvious.entries))
    for each in (None, {"name": "new"}, {"year": {"gte": 0}}):
        obvious.agrees(store, questions[0], 1000, conditions_of(each))

    store.clear()
    assert (store.told(), len(store)) == (0, 0)
    assert store.search(questions[0], 5)[0].tolist() == []
    store.add(np.array([2, 1]), vectors(2, 3, DIM + 1), [{}, {"name": ("one",)}])  # of another model
    store.commit(3)
    assert (store.told(), len(store)) == (3, 2)
    assert store.search(vectors(2, 3, DIM + 1)[1], 5, conditions_of({"name": "one"}))[0].tolist() == [1]
    other = place.open("Other-kb.2")
    assert len(other) == 1

    # Where it was dropped another one of this name finds nothing that is not its own.
    store.drop()
    assert (store.told(), len(store), store.search(questions[0], 5)[0].tolist()) == (0, 0, [])
    store.add(np.array([4]), vectors(1), [{}])
    store.commit(1)
    assert len(store) == 1
    store.drop()
    assert len(place.open("kb", home="after")) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_searched_while_it_is_written(kind, place_of):
    """Whoever searches finds each entry once, with a vector that it has or had, and everything that is left alone."""
    place = place_of(kind)
    store, question = place.open(), vectors(1, seed=2)[0]
    kept, changing = np.arange(30), np.arange(100, 130)
    versions = [vectors(30, seed) for seed in range(20, 24)]
    facts = [{"group": (f"g{i % 3}",)} for i in range(30)]
    store.add(kept, vectors(30), facts)
    store.add(changing, versions[0], facts)
    store.commit(1)
    possible = {int(n): {float(v[i] @ question) for v in versions} for i, n in enumerate(changing)}
    own = dict(zip(kept.tolist(), (vectors(30) @ question).tolist(), strict=True))
    failed, done = [], threading.Event()

    def search():
        try:
            while not done.is_set():
                for each in (None, {"group": "g1"}):
                    numbers, scores = store.search(question, 100, conditions_of(each))
                    assert len(set(numbers.tolist())) == len(numbers)
                    wanted = {n for n in own if each is None or n % 3 == 1}
                    assert wanted <= set(numbers.tolist())
                    for number, score in zip(numbers.tolist(), scores.tolist(), strict=True):
                        near = possible.get(number) or {own[number]}
                        assert min(abs(score - one) for one in near) < 1e-3
        except Exception as error:  # noqa: BLE001 (a thread's end is told by the test)
            failed.append(error)

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for change, version in enumerate(versions[1:], 2):
        store.remove(changing[:10])
        store.add(changing, version, facts)
        store.commit(change)
    done.set()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(store) == 60


@pytest.mark.parametrize("kind", SERVERS)
def test_a_collection_is_of_one_knowledge_base(kind, place_of):
    place = place_of(kind)
    if kind == "milvus_lite":
        pytest.skip("its file lies in the knowledge base's folder")
    store = place.open()
    store.add(np.array([1]), vectors(1), [{}])
    store.commit(1)
    with pytest.raises(StoreError, match=r"t\d+_kb' belongs to another knowledge base: name another 'prefix'"):
        place.open("kb", home="elsewhere")
    place.open("kb", home="elsewhere", prefix="mine_").add(np.array([2]), vectors(1), [{}])
    assert len(store) == 1


@pytest.mark.parametrize("kind", SERVERS)
def test_who_tells_at_the_same_time_as_another_is_told_again(kind, place_of):
    """Each may have overwritten what the other one knew better."""
    place = place_of(kind)
    if kind == "milvus_lite":
        pytest.skip("one process alone has its file")
    first = place.open()
    first.add(np.array([1]), vectors(1), [{}])
    first.commit(3)
    second = place.open()
    assert (first.told(), second.told()) == (3, 3)
    first.add(np.array([2]), vectors(1), [{}])
    second.add(np.array([2]), vectors(1), [{}])
    second.commit(5)
    first.commit(6)
    first.commit(7)
    assert place.open().told() == 3
    assert first.told() == 3
    first.commit(7)
    assert second.told() == 7


@pytest.mark.parametrize("kind", KINDS)
def test_a_knowledge_base_searches_it(kind, place_of, model_server, tmp_path):
    """What is changed and taken away is found so, also by another one who has it open."""
    pytest.importorskip("tantivy", reason="needs the extra 'rag'")
    from rag.config import SearchConfig, load_rag
    from rag.knowledge import KnowledgeBase

    model_server.answer = model_server.word_vectors
    embedder = {"type": "server", "base_url": model_server.url, "model": "m", "key_env": "MODEL_KEY"}
    store = place_of(kind).config().model_dump()
    config = load_rag({"knowledge": {"path": str(tmp_path / "base"), "embedder": embedder, "store": store}}).knowledge

    def texts(base, query, mode="vector", **given):
        return [hit.text for hit in base.search(query, SearchConfig(mode=mode), **given)]

    with KnowledgeBase(config) as base:
        base.add_text("a", "The refund takes five days.", {"team": "x"})
        base.add_text("b", "The canteen opens at noon.", {"team": "y"})
        assert texts(base, "refund days")[0] == "The refund takes five days."
        assert texts(base, "refund days", filter={"team": "y"}) == ["The canteen opens at noon."]
        assert set(base.search("refund days")[0].parts) == {"vector", "keyword"}
        base.add_text("a", "The refund takes nine days.", {"team": "x"})
        base.remove("b")
        assert texts(base, "refund canteen", "hybrid") == ["The refund takes nine days."]
        base.add_text("a", "The refund takes nine days.", {"team": "z"})  # only what is known of it has changed
        assert texts(base, "refund", filter={"team": "x"}) == []
        if kind != "milvus_lite":  # a file of one process
            with KnowledgeBase(config) as reader:
                base.add_text("c", "Holidays are thirty days.")
                reader.refresh()
                assert texts(reader, "holidays")[0] == "Holidays are thirty days."
    with KnowledgeBase(config) as base:
        assert texts(base, "refund", filter={"team": "z"}) == ["The refund takes nine days."]
    # Of records that are no more nothing is found, though these have fewer changes than an index was told of.
    for path in (tmp_path / "base").glob("records.db*"):
        path.unlink()
    with KnowledgeBase(config) as base:
        base.add_text("a", "Tea is free.")
        for mode in ("vector", "keyword", "hybrid"):
            assert texts(base, "refund tea", mode) == ["Tea is free."]
        assert (len(base.vectors), len(base.keywords)) == (1, 1)


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_that_goes_away_is_told_soon_and_without_secrets(kind, place_of):
    place = place_of(kind)
    if kind == "milvus_lite":
        pytest.skip("it has no server")
    store = place.open(timeout_s=5)
    store.add(np.array([1]), vectors(1), [{}])
    store.commit(1)
    place.stop()
    for ask in (
        lambda: store.search(vectors(1)[0], 3),
        lambda: store.add(np.array([2]), vectors(1), [{}]),
        store.told,
        lambda: place.open("next", timeout_s=5),
    ):
        begun = time.monotonic()
        with pytest.raises(StoreError) as raised:
            ask()
        assert time.monotonic() - begun < 25
        assert kind in str(raised.value).replace("postgresql", "pgvector")
        assert PASSWORD not in str(raised.value) + repr(place.config())
        assert raised.value.__cause__ is None or PASSWORD not in repr(raised.value.__cause__)


def test_connections_of_pgvector_that_the_server_ends_are_made_anew(place_of, obvious):
    place = place_of("pgvector")
    store, numbers = place.open(), np.arange(40)
    for held in (store, obvious):
        held.add(numbers, vectors(40), [{}] * 40)
    psycopg = pytest.importorskip("psycopg")

    def end_all():
        with psycopg.connect(place.fields["url"], password=PASSWORD, autocommit=True) as admin:
            ended = admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            )
            return sum(done for (done,) in ended.fetchall())

    ended = 0
    for number in range(40, 44):
        ended += end_all()
        obvious.agrees(store, vectors(1, seed=number)[0], 5)
        ended += end_all()
        for held in (store, obvious):
            held.add(np.array([number]), vectors(1, seed=number), [{}])
    assert ended >= 8
    assert len(store) == 44
    stop = threading.Event()

    def end_often():
        while not stop.wait(0.02):
            end_all()

    thread = threading.Thread(target=end_often)
    thread.start()
    try:
        for number in range(60):  # in the midst of an answer, too: it is the right one, or an error that says so
            with contextlib.suppress(StoreError):
                obvious.agrees(store, vectors(1, seed=number)[0], 5)
    finally:
        stop.set()
        thread.join()
    obvious.agrees(store, vectors(1)[0], 5)


def test_a_graph_of_pgvector_finds_nearly_all_and_all_that_pass(place_of, obvious):
    place = place_of("pgvector")
    store, numbers = place.open(exact=500, ef_search=60), np.arange(6000)
    facts = [{"half": (bool(n % 2),), "few": (int(n % 600),), "none": ("x",)} for n in numbers]
    told(store, obvious, numbers=numbers, vectors=vectors(6000), facts=facts)
    store.commit(1)
    assert store._graph
    assert place.open(exact=500)._graph
    store.remove(numbers[:100])
    obvious.remove(numbers[:100])
    hits = 0
    for question in vectors(20, seed=3):
        expected = [number for _, number in obvious.search(question, 10)]
        hits += len(set(store.search(question, 10)[0].tolist()) & set(expected))
        half = conditions_of({"half": True})
        expected = [number for _, number in obvious.search(question, 10, half)]
        hits += len(set(store.search(question, 10, half)[0].tolist()) & set(expected))
    assert hits >= 0.95 * 400
    obvious.agrees(store, question, 10, conditions_of({"few": 7}))
    obvious.agrees(store, question, 1500, conditions_of({"few": {"lt": 300}}))
    obvious.agrees(store, question, 1200)
    assert len(store.search(question, 1000, conditions_of({"none": "x"}))[0]) == 1000


ADDRESS = {
    "pgvector": "postgresql://app@127.0.0.1:{}/db",
    "elasticsearch": "http://127.0.0.1:{}",
    "milvus": "http://127.0.0.1:{}",
}


@pytest.mark.parametrize("kind", list(ADDRESS))
def test_a_server_that_is_silent_is_told(kind, place_of, monkeypatch, tmp_path):
    if kind == "milvus":
        pytest.importorskip("pymilvus", reason="needs the extra 'milvus'")
    monkeypatch.setenv("STORE_PASSWORD", PASSWORD)
    from feature_generator.config import member

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(50)
        url, begun = ADDRESS[kind].format(silent.getsockname()[1]), time.monotonic()
        named = {} if kind == "pgvector" else {"user": "app"}
        config = member("rag.stores", kind).Config(url=url, password_env="STORE_PASSWORD", timeout_s=1.0, **named)
        with pytest.raises(StoreError, match=r"127\.0\.0\.1") as raised:
            config.open(tmp_path / "kb", "kb")
        assert time.monotonic() - begun < 15
        assert PASSWORD not in str(raised.value)


@pytest.mark.parametrize("kind", ["elasticsearch", "pgvector"])
def test_a_wrong_password_is_told_without_it(kind, place_of, monkeypatch):
    place = place_of(kind)
    monkeypatch.setenv("STORE_PASSWORD", "wr0ng-one")
    with pytest.raises(StoreError) as raised:
        place.open()
    assert "wr0ng-one" not in str(raised.value)
    monkeypatch.delenv("STORE_PASSWORD")
    with pytest.raises(ConfigError, match="'STORE_PASSWORD' is not set"):
        place.open()


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"type": "pgvector", "url": "postgresql://app:pw@h/db"}, "name its variable by 'password_env'"),
        ({"type": "pgvector", "url": "postgresql://h/db?password=pw"}, "name its variable by 'password_env'"),
        ({"type": "pgvector", "url": "h"}, "begins with postgresql://"),
        ({"type": "elasticsearch", "url": "https://app:pw@h:9200"}, "name its variable by 'password_env'"),
        ({"type": "elasticsearch", "url": "https://h", "user": "app"}, "belong together"),
        ({"type": "milvus", "url": "http://app:pw@h:1"}, "name its variable by 'password_env'"),
        ({"type": "milvus", "user": "app", "password_env": "X"}, "'url' is missing"),
        ({"type": "milvus", "prefix": "a-b"}, "prefix"),
    ],
)
def test_wrong_configs_are_told(fields, text):
    from rag.config import load_rag

    with pytest.raises(ConfigError, match=text) as raised:
        load_rag({"knowledge": {"path": "kb", "store": fields}})
    assert "pw" not in str(raised.value).replace("password", "")
