"""Indexes find what comparing every vector finds: exactly or nearly, after adding, replacing, deleting and loading."""

import json
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from easyrec.errors import ConfigError, RunError
from easyrec.retrieval.indexes import Index, _files, build
from easyrec.retrieval.indexes._index import Index as Base
from feature_generator.config import member, members

FAMILY = "easyrec.retrieval.indexes"
KEYS = {
    "ivf": {"lists": 8, "probes": 8},
    "ivf_pq": {"lists": 8, "probes": 8, "bytes": 4},
    "ivf_sq": {"lists": 8, "probes": 8},
}
EXACT = ("flat", "ivf")  # all lists are probed
DIM = 8
NAMES = members(FAMILY)
METRICS = ["inner", "cosine", "l2"]


def index(name, metric="inner", dim=DIM, **keys):
    return build(member(FAMILY, name).Config(type=name, metric=metric, **{**KEYS.get(name, {}), **keys}), dim)


def vectors(count, seed=1):
    return np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)


def nearness(metric, queries, found):
    """(B, N) float64, more is nearer."""
    queries, found = queries.astype(np.float64), found.astype(np.float64)
    if metric == "l2":
        return -((queries[:, None] - found[None]) ** 2).sum(2)
    if metric == "cosine":
        queries, found = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, found))
    return queries @ found.T


def least(name):
    return 1.0 if name in EXACT else 0.25 if name == "ivf_pq" else 0.9


def share_found(made, metric, table, queries, k, allowed=None, **chosen):
    """How many of the nearest k are found, of `allowed` ids; all k come, and scores are in order."""
    allowed = np.array(sorted(table if allowed is None else set(table) & set(allowed)), np.int64)
    near = nearness(metric, queries, np.array([table[i] for i in allowed]).reshape(-1, DIM))
    found, scores = made.search(queries, k, **chosen)
    hits, wanted = 0, min(k, len(allowed))
    for row in range(len(queries)):
        best = allowed[np.argsort(-near[row])[:k]]
        mine = found[row][found[row] >= 0]
        assert len(set(mine)) == len(mine) == wanted
        assert set(mine) <= set(allowed)
        assert (found[row][len(mine) :] == -1).all()
        assert (scores[row][len(mine) :] == -np.inf).all()
        assert (np.diff(scores[row][: len(mine)]) <= 0).all()
        hits += len(set(best) & set(mine))
    return hits / (wanted * len(queries)) if wanted * len(queries) else 1.0


# ------------------------------------------------------------------------------------------------ search


@pytest.mark.family(FAMILY)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("metric", METRICS)
def test_the_nearest_are_found(name, metric):
    table, queries = dict(enumerate(vectors(600), 1000)), vectors(20, seed=2)
    made = index(name, metric)
    made.add(np.array(list(table)), np.array(list(table.values())))
    assert len(made) == 600
    assert share_found(made, metric, table, queries, 10) >= least(name)
    assert made.search(queries[:0], 10)[0].shape == (0, 10)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("metric", METRICS)
def test_scores_are_the_nearness(name, metric):
    table, queries = vectors(300), vectors(5, seed=2)
    made = index(name, metric)
    made.add(np.arange(300), table)
    ids, scores = made.search(queries, 7)
    expected = np.take_along_axis(nearness(metric, queries, table), ids, 1)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.family(FAMILY)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("way", ["gathered", "compared", "walked"])
def test_only_what_is_allowed_is_found(name, metric, way, monkeypatch):
    """By ids and by attributes, each way that a search may take."""
    monkeypatch.setattr("easyrec.retrieval.indexes._index.FEW", 1 if way == "gathered" else 1e9)
    made = index(name, metric)
    monkeypatch.setattr(type(made), "walks", lambda self, allowed: way == "walked" and name != "flat")
    table, cate = dict(enumerate(vectors(500))), np.arange(500) % 7
    made.add(np.arange(500), vectors(500), {"cate": cate})
    made.delete(np.arange(0, 500, 5))
    table = {i: v for i, v in table.items() if i % 5}
    queries = vectors(4, seed=5)
    for only in ([], [7], [7, 7, 9000], range(0, 500, 3)):
        allowed = np.array(list(only), np.int64)
        assert share_found(made, metric, table, queries, 6, allowed, only=allowed) >= least(name)
    kept = set(range(500)) - set(range(100, 400))
    assert share_found(made, metric, table, queries, 6, kept, without=np.arange(100, 400)) >= least(name)
    some = {i for i in range(500) if i % 7 in (3, 5)}
    assert share_found(made, metric, table, queries, 6, some, filter={"cate": [3, 5]}) >= least(name)
    both = {i for i in range(300) if i % 7 == 3}
    chosen = {"filter": {"cate": 3}, "only": np.arange(300), "without": np.arange(50)}
    assert share_found(made, metric, table, queries, 60, both - set(range(50)), **chosen) >= least(name)


@pytest.mark.family(FAMILY)
@pytest.mark.parametrize("name", NAMES)
def test_all_that_are_wanted_are_found_where_the_filter_is_far_from_the_query(name):
    """What may be found lies behind thousands of nearer vectors, where a walk does not come."""
    random = np.random.default_rng(4)
    table = random.normal(size=(4000, DIM)).astype(np.float32)
    table[:, 0] = np.where(np.arange(4000) < 3600, 5, -5)
    made = index(name, "l2", **({"lists": 64, "probes": 1} if name.startswith("ivf") else {}))
    made.add(np.arange(4000), table, {"far": np.arange(4000) >= 3600})
    query = np.array([[5, *[0] * (DIM - 1)]], np.float32)
    ids, _ = made.search(query, 50, filter={"far": True})
    assert len(set(ids[0])) == 50
    assert ids.min() >= 3600


@pytest.mark.parametrize(("name", "keys"), [("hnsw", {"ef_search": 20}), ("ivf", {"lists": 64, "probes": 6})])
def test_the_fewer_may_be_found_the_harder_it_is_searched(name, keys, monkeypatch):
    """With the effort of an unfiltered search far less would be found."""
    made, known, queries = index(name, **keys), vectors(6000), vectors(60, seed=2)
    made.add(np.arange(6000), known, {"cate": np.arange(6000) % 12})
    monkeypatch.setattr(type(made), "walks", lambda self, allowed: True)
    table = dict(enumerate(known))
    some = range(5, 6000, 12)
    whole = share_found(made, "inner", table, queries, 10)
    assert share_found(made, "inner", table, queries, 10, some, filter={"cate": 5}) > whole - 0.1


def test_attributes_may_be_texts_and_lists():
    made = index("flat")
    tags = [["a", "b"], [], None, ["b"], ["c", "a"]]
    made.add(np.arange(5), vectors(5), {"tags": tags, "brand": ["x", "y", None, "x", "z"]})

    def found(**chosen):
        return sorted(i for i in made.search(vectors(1, seed=2), 5, filter=chosen)[0][0] if i >= 0)

    assert found(tags="a") == [0, 4]
    assert found(tags=["b", "c"]) == [0, 3, 4]
    assert found(brand=["x", "nothing"], tags=["b"]) == [0, 3]
    assert found(brand="x", tags="c") == []
    assert found(brand=[]) == []
    assert found() == [0, 1, 2, 3, 4]


def test_attributes_of_vectors_that_are_added_one_after_the_other_are_known():
    """Also between searches, after each of which a few more are looked up."""
    made, random, tags = index("flat"), np.random.default_rng(3), []
    for size in (40, 1, 7, 3, 90, 2, 2, 1):
        new = [random.choice(["a", "b", "c"], random.integers(0, 3)).tolist() for _ in range(size)]
        made.add(np.arange(len(tags), len(tags) + size), vectors(size), {"tags": pa.array(new, pa.list_(pa.string()))})
        tags += new
        for tag in "abc":
            expected = [i for i, own in enumerate(tags) if tag in own]
            assert sorted(made.search(vectors(1), 200, filter={"tags": tag})[0][0])[-len(expected) :] == expected
    assert [lookup.rows for lookup in made.attributes._lookups["tags"]] == [141, 4, 1]


def test_many_threads_may_search():
    made, queries = index("hnsw"), vectors(40, seed=2)
    made.add(np.arange(3000), vectors(3000), {"cate": np.arange(3000) % 2})
    expected = made.search(queries, 5, filter={"cate": 1})
    found = {}

    def ask(number):
        found[number] = made.search(queries, 5, filter={"cate": 1})

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ids, scores in found.values():
        np.testing.assert_array_equal(ids, expected[0])
        np.testing.assert_array_equal(scores, expected[1])


@pytest.mark.parametrize(("name", "low", "high"), [("hnsw", 1, 300), ("ivf", 1, 8)])
def test_the_same_index_is_asked_with_other_settings(name, low, high):
    made, queries = index(name), vectors(50, seed=2)
    made.add(np.arange(3000), vectors(3000))
    assert made.config.effort is not None
    exact = index("flat")
    exact.add(np.arange(3000), vectors(3000))
    best = exact.search(queries, 1)[0]
    shares = [(made.asked(**{made.config.effort: e}).search(queries, 1)[0] == best).mean() for e in (low, high)]
    assert shares[0] < shares[1]
    assert shares[1] >= 0.98
    with pytest.raises(ValidationError, match="greater than 0"):
        made.asked(**{made.config.effort: 0})


# ------------------------------------------------------------------------------------------------ changes


@pytest.mark.family(FAMILY)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("rebuild_at", [0.1, 1.0])
def test_vectors_come_and_go(name, metric, rebuild_at, tmp_path):
    """Added, replaced and deleted at random, beside a plain dictionary; at last saved and loaded."""
    random, made, table, cates = np.random.default_rng(3), index(name, metric, rebuild_at=rebuild_at), {}, {}
    for turn in range(12):
        count = 400 if not turn else int(random.integers(0, 60))
        ids = random.choice(900, count, replace=False)
        if turn % 3 < 2:
            new, cate = vectors(count, seed=10 + turn), random.integers(0, 3, count)
            made.add(ids, new, {"cate": cate})
            table |= dict(zip(ids.tolist(), new, strict=True))
            cates |= dict(zip(ids.tolist(), cate.tolist(), strict=True))
        else:
            assert made.delete(ids) == sum(table.pop(i, None) is not None for i in ids.tolist())
        assert len(made) == len(table)
        assert made.wasted <= rebuild_at
        queries = vectors(6, seed=turn)
        assert share_found(made, metric, table, queries, 5) >= least(name) - 0.1 * (name not in EXACT)
        some = {i for i, cate in cates.items() if cate == 1}
        assert share_found(made, metric, table, queries, 5, some, filter={"cate": 1}) >= least(name) - 0.2 * (
            name not in EXACT
        )
    assert made.wasted == pytest.approx(1 - len(table) / len(made.ids))
    made.save(tmp_path / "index")
    again = Index.load(tmp_path / "index")
    queries = vectors(6, seed=99)
    for chosen in ({}, {"filter": {"cate": [0, 2]}}):
        for mine, theirs in zip(made.search(queries, 5, **chosen), again.search(queries, 5, **chosen), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    again.rebuild()
    assert again.wasted == 0
    assert share_found(again, metric, table, queries, 5) >= least(name) - 0.1 * (name not in EXACT)
    again.add(np.array([5000]), queries[:1], {"cate": [1]})
    assert len(again) == len(table) + 1
    again.delete(np.array([*table, 5000]))
    assert len(again) == 0
    assert again.search(queries, 2)[0].tolist() == [[-1, -1]] * 6
    again.add(np.array([1]), queries[:1], {"cate": [1]})
    assert again.search(queries, 2, filter={"cate": 1})[0].tolist() == [[1, -1]] * 6


changes = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.integers(0, 25), unique=True, max_size=12)),
        st.tuples(st.just("delete"), st.lists(st.integers(0, 30), max_size=12)),
        st.tuples(st.just("rebuild"), st.just([])),
        st.tuples(st.just("reload"), st.just([])),
    ),
    max_size=8,
)
ids = st.none() | st.lists(st.integers(0, 30), max_size=20)
cates = st.none() | st.lists(st.integers(0, 4), max_size=3)


@given(st.integers(0, 2**31), changes, ids, ids, cates, st.integers(1, 9), st.sampled_from([0.2, 1.0]))
@settings(max_examples=60, deadline=None)
def test_a_flat_index_equals_comparing_all(tmp_path_factory, seed, turns, only, without, cate, k, rebuild_at):
    """To the bit: vectors of small whole numbers have exact products, and ties are told by the sets of scores."""
    random, made, table, known = np.random.default_rng(seed), index("flat", rebuild_at=rebuild_at), {}, {}
    for what, chosen in turns:
        if what == "add":
            new, of = random.integers(-9, 10, (len(chosen), DIM)).astype(np.float32), random.integers(0, 4, len(chosen))
            made.add(np.array(chosen, np.int64), new, {"cate": of})
            table |= dict(zip(chosen, new, strict=True))
            known |= dict(zip(chosen, of.tolist(), strict=True))
        elif what == "delete":
            assert made.delete(np.array(chosen, np.int64)) == len(set(chosen) & set(table))
            for i in chosen:
                table.pop(i, None)
        elif what == "rebuild":
            made.rebuild()
            assert made.wasted == 0
        else:
            folder = tmp_path_factory.mktemp("index")
            made.save(folder)
            made = Index.load(folder)
    allowed = [
        i
        for i in table
        if (only is None or i in only) and (without is None or i not in without) and (cate is None or known[i] in cate)
    ]
    queries = random.integers(-9, 10, (3, DIM)).astype(np.float32)
    keep = {"only": only, "without": without, "filter": None if cate is None or not table else {"cate": cate}}
    keep |= {key: np.array(keep[key], np.int64) for key in ("only", "without") if keep[key] is not None}
    found, scores = made.search(queries, k, **keep)
    for row, query in enumerate(queries):
        products = {i: float(query @ table[i]) for i in allowed}
        best = sorted(products.values(), reverse=True)[:k]
        assert scores[row].tolist() == best + [-np.inf] * (k - len(best))
        assert [products[i] for i in found[row].tolist() if i >= 0] == best
        assert len(set(found[row].tolist()) - {-1}) == len(best)


@pytest.mark.family(FAMILY)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_refused_changes_nothing(name):
    made, first = index(name), vectors(300)
    made.add(np.arange(300), first, {"cate": np.arange(300)})
    bad = vectors(3)
    bad[1, 2] = np.nan
    for ids, new, attributes, text in (
        (np.arange(3), np.zeros((3, 7), np.float32), {"cate": [1, 2, 3]}, r"must be \(n, 8\), but are \(3, 7\)"),
        (np.array([4, 5, 4]), vectors(3), {"cate": [1, 2, 3]}, "the id 4 is there twice"),
        (np.arange(3), bad, {"cate": [1, 2, 3]}, "vector 1 has a number that is not finite"),
        (np.arange(2), vectors(3), {"cate": [1, 2, 3]}, "3 vectors need as many ids"),
        (np.arange(3), vectors(3), None, r"keeps the attributes \['cate'\], but here are \[\]"),
        (np.arange(3), vectors(3), {"cate": [1, 2]}, "3 vectors need as many attributes, but here are 2"),
        (np.arange(3), vectors(3), {"cate": ["a", "b", "c"]}, "attributes are of another type"),
        (np.arange(3), vectors(3), {"cate": [0.5, 1, 2]}, "must be of integers, texts or booleans"),
    ):
        with pytest.raises(ValueError, match=text):
            made.add(ids, new, attributes)
        assert len(made) == made.inside.ntotal == 300
    with pytest.raises(ValueError, match=r"no attribute is called 'cats'; did you mean 'cate'\?; the index keeps cate"):
        made.search(first[:1], 3, filter={"cats": 1})
    with pytest.raises(ValueError, match="attribute 'cate' is of int64, so none is 'x'"):
        made.search(first[:1], 3, filter={"cate": "x"})
    with pytest.raises(ValueError, match="at least one vector is wanted, not 0"):
        made.search(first[:1], 0)


def test_too_few_vectors_to_learn_from_change_nothing():
    made = index("ivf", lists=8)
    with pytest.raises(ConfigError, match="'ivf' learns from at least 8 vectors, but here are 7"):
        made.add(np.arange(7), vectors(7))
    made.add(np.arange(8), vectors(8))
    assert len(made) == 8


@pytest.mark.parametrize("name", ["ivf", "ivf_pq"])
def test_few_vectors_to_learn_from_are_told_once(name, caplog, capfd):
    made, enough = index(name, lists=4), 40 * (256 if name == "ivf_pq" else 4)
    made.add(np.arange(300), vectors(300))
    told = f"'{name}' with 4 lists had 300 vectors to learn from, and wants {enough:,}"
    assert [record.message.partition(":")[0] for record in caplog.records] == ([told] if enough > 300 else [])
    made.add(np.arange(300, 310), np.ones((10, DIM)))
    assert len(caplog.records) == int(enough > 300)
    assert not any("clustering" in text for text in capfd.readouterr())  # FAISS writes past Python


def test_parts_that_do_not_divide_a_vector_are_told():
    with pytest.raises(ConfigError, match="cuts vectors of 10 numbers into 4 equal parts"):
        index("ivf_pq", dim=10)


# ------------------------------------------------------------------------------------------------ the disk


def saved(folder, count=50, name="flat"):
    made = index(name)
    made.add(np.arange(count), vectors(count), {"cate": np.arange(count) % 3})
    made.save(folder)
    return made


@pytest.mark.family(FAMILY)
@pytest.mark.parametrize("name", NAMES)
def test_an_index_without_vectors_is_saved_too(name, tmp_path):
    index(name).save(tmp_path)
    assert len(Index.load(tmp_path)) == 0


@pytest.mark.parametrize("part", ["vectors", "ids", "alive", "attributes"])
def test_a_damaged_index_is_told(tmp_path, part):
    saved(tmp_path)
    (path,) = tmp_path.glob(f"{part}-*")
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match=f"{part}-000001.* is damaged"):
        Index.load(tmp_path)
    path.unlink()
    with pytest.raises(RunError, match="holds no whole index"):
        Index.load(tmp_path)
    with pytest.raises(RunError, match="holds no whole index"):
        Index.load(tmp_path / "nothing")


@pytest.mark.parametrize(("version", "text"), [(1, "write it anew"), (3, "pip install --upgrade")])
def test_another_format_is_told(tmp_path, version, text):
    saved(tmp_path)
    about = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps({**about, "format": version}))
    with pytest.raises(RunError, match=f"format {version}, but this version reads 2: {text}"):
        Index.load(tmp_path)


@pytest.mark.parametrize(
    "changed",
    [{"dim": 4}, {"config": {"type": "flat", "metric": "l2"}}, {"files": {}}, {"config": {"type": "../x"}}],
)
def test_an_index_that_does_not_fit_its_config_is_told(tmp_path, changed):
    saved(tmp_path)
    about = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps({**about, **changed}))
    with pytest.raises(RunError, match="holds no whole index"):
        Index.load(tmp_path)


def test_a_file_outside_is_not_read(tmp_path):
    saved(tmp_path / "index")
    about = json.loads((tmp_path / "index" / "index.json").read_text())
    about["files"]["ids"]["name"] = "../ids-000001.npy"
    (tmp_path / "index" / "index.json").write_text(json.dumps(about))
    with pytest.raises(RunError, match=r"names a file '\.\./ids-000001.npy'"):
        Index.load(tmp_path / "index")


def test_the_config_changes_alone(tmp_path):
    made = saved(tmp_path, 300, "hnsw")
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*-*")}
    _files.change(tmp_path, made.asked(ef_search=7).config.model_dump())
    assert Index.load(tmp_path).config.ef_search == 7
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*-*")} == before


@pytest.mark.parametrize("failing", ["vectors", "ids", "alive", "attributes", "index.json"])
def test_a_disk_that_refuses_leaves_the_former_index(tmp_path, failing, monkeypatch):
    saved(tmp_path, 50)
    before = sorted(path.name for path in tmp_path.iterdir())
    real = _files.sync

    def sync(path):
        if path.name.startswith(failing):
            raise OSError(28, "No space left on device")
        real(path)

    monkeypatch.setattr(_files, "sync", sync)
    if failing == "index.json":

        def write_text(path, text):
            raise RunError("cannot write it")

        monkeypatch.setattr(_files, "write_text", write_text)
    with pytest.raises(RunError, match="cannot write"):
        saved(tmp_path, 60)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert len(Index.load(tmp_path)) == 50


def test_a_newer_index_that_takes_the_place_while_one_is_read_is_read(tmp_path, monkeypatch):
    saved(tmp_path, 50)
    real, count = _files.digest, [0]

    def digest(path):
        count[0] += 1
        if count[0] == 2:
            saved(tmp_path, 60)
        return real(path)

    monkeypatch.setattr(_files, "digest", digest)
    assert len(Index.load(tmp_path)) == 60


KILLED = """
import os, sys, numpy as np
from easyrec.retrieval.indexes import build
from easyrec.retrieval.indexes.flat import Config

def save():
    turn = 0
    while True:
        turn += 1
        made = build(Config(), 8)
        count = 2000 + turn
        made.add(np.arange(count), np.full((count, 8), turn, np.float32), {"turn": np.full(count, turn)})
        made.save(sys.argv[1])
        print(turn, flush=True)

while sys.stdin.readline():  # a writer each, until it is killed
    child = os.fork()
    if child == 0:
        save()
    print(child, flush=True)
    os.waitpid(child, 0)
    print("\\nkilled", flush=True)  # on a line of its own: one may be cut off
"""


@pytest.fixture
def writers(tmp_path):
    """A process that starts writers, one after another."""
    command = [sys.executable, "-c", KILLED, str(tmp_path / "index")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.stdin.close()


def test_an_index_whose_writer_was_killed_is_whole(writers, tmp_path):
    """At any moment: the former or the newer one is there, and saving again sweeps what was left."""
    random = np.random.default_rng(6)
    folder = tmp_path / "index"
    for _ in range(6):
        writers.stdin.write("\n")
        writers.stdin.flush()
        told = iter(writers.stdout.readline, "killed\n")
        child, done = int(next(told)), int(next(told))
        timer = threading.Timer(random.uniform(0, 0.05), os.kill, [child, signal.SIGKILL])
        timer.start()
        done = max([done, *map(int, filter(str.strip, told))])
        found = Index.load(folder)
        turn = int(found.inside.reconstruct(0)[0])
        assert turn in (done, done + 1)
        assert len(found) == 2000 + turn
        assert set(found.attributes.table["turn"].to_pylist()) == {turn}
    found.save(folder)
    left = {path.name for path in folder.iterdir()}
    files = {file["name"] for file in json.loads((folder / "index.json").read_text())["files"].values()}
    assert {name for name in left if not name.startswith(".")} == files | {"index.json"}


def test_what_an_index_must_define_is_told():
    config = member(FAMILY, "flat").Config()
    with pytest.raises(TypeError, match="Index must define make"):
        Base(config, 4)
