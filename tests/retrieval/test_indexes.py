"""Indexes find what comparing every vector finds: exactly or nearly, after adding, replacing, deleting and loading."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easyrec.errors import ConfigError, RunError
from easyrec.retrieval.indexes import Index, build
from feature_generator.config import member, members

FAMILY = "easyrec.retrieval.indexes"
KEYS = {"ivf": {"lists": 8, "probes": 8}, "ivf_pq": {"lists": 8, "probes": 8, "bytes": 4}}
EXACT = ("flat", "ivf")  # all lists are probed
DIM = 8


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


def share_found(made, metric, table, queries, k, only=None):
    """How many of the nearest k are found; scores must be those of the ids that come."""
    ids = np.array(sorted(table))
    allowed = ids if only is None else np.array([i for i in ids if i in set(only)])
    near = nearness(metric, queries, np.array([table[i] for i in allowed]).reshape(-1, DIM))
    found, scores = made.search(queries, k, only)
    hits, wanted = 0, min(k, len(allowed))
    for row in range(len(queries)):
        best = allowed[np.argsort(-near[row])[:k]]
        mine = found[row][found[row] >= 0]
        assert len(set(mine)) == len(mine)
        assert set(mine) <= set(allowed)
        assert (found[row][len(mine) :] == -1).all()
        assert (scores[row][len(mine) :] == -np.inf).all()
        assert (np.diff(scores[row][: len(mine)]) <= 0).all()
        hits += len(set(best) & set(mine))
    return hits / (wanted * len(queries)) if wanted * len(queries) else 1.0


@pytest.mark.family(FAMILY)
@pytest.mark.parametrize("name", members(FAMILY))
@pytest.mark.parametrize("metric", ["inner", "cosine", "l2"])
def test_the_nearest_are_found(name, metric):
    table, queries = dict(enumerate(vectors(600), 1000)), vectors(20, seed=2)
    made = index(name, metric)
    made.add(np.array(list(table)), np.array(list(table.values())))
    assert len(made) == 600
    found = share_found(made, metric, table, queries, 10)
    assert found == 1.0 if name in EXACT else found > (0.3 if name == "ivf_pq" else 0.95)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("metric", ["inner", "cosine", "l2"])
def test_scores_are_the_nearness(name, metric):
    table, queries = vectors(300), vectors(5, seed=2)
    made = index(name, metric)
    made.add(np.arange(300), table)
    ids, scores = made.search(queries, 7)
    expected = np.take_along_axis(nearness(metric, queries, table), ids, 1)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.family(FAMILY)
@pytest.mark.parametrize("name", members(FAMILY))
def test_vectors_come_and_go(name, tmp_path):
    """Added, replaced and deleted at random, beside a plain dictionary; at last saved and loaded."""
    random, made, table = np.random.default_rng(3), index(name), {}
    for turn in range(12):
        count = 400 if not turn else int(random.integers(0, 60))
        ids = random.choice(900, count, replace=False)
        if turn % 3 < 2:
            new = vectors(count, seed=10 + turn)
            made.add(ids, new)
            table |= dict(zip(ids.tolist(), new, strict=True))
        else:
            assert made.delete(ids) == sum(table.pop(i, None) is not None for i in ids.tolist())
        assert len(made) == len(table)
        found = share_found(made, "inner", table, vectors(6, seed=turn), 5)
        assert found == 1.0 if name in EXACT else found > (0.15 if name == "ivf_pq" else 0.9)
    assert made.wasted == pytest.approx(1 - len(table) / len(made.ids))
    made.save(tmp_path / "index")
    again = Index.load(tmp_path / "index")
    queries = vectors(6, seed=99)
    for mine, theirs in zip(made.search(queries, 5), again.search(queries, 5), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    again.add(np.array([5000]), queries[:1] * 100)
    assert again.search(queries[:1], 1)[0].tolist() == [[5000]]


@pytest.mark.family(FAMILY)
@pytest.mark.parametrize("name", members(FAMILY))
@pytest.mark.parametrize("few", [0, 20_000], ids=["walked", "one-by-one"])
def test_only_what_is_allowed_is_found(name, few, monkeypatch):
    monkeypatch.setattr("easyrec.retrieval.indexes._index.FEW", few)
    table, made = dict(enumerate(vectors(500))), index(name)
    made.add(np.arange(500), vectors(500))
    for only in ([], [7], [7, 7, 9000], range(0, 500, 3)):
        if few == 0 and not len(list(only)):
            continue
        found = share_found(made, "inner", table, vectors(4, seed=5), 6, np.array(list(only), np.int64))
        assert found == 1.0 if name in EXACT else found >= 0.15


@given(st.integers(0, 2**31), st.integers(0, 40), st.integers(1, 12), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_an_exact_index_equals_comparing_all(seed, count, k, queries):
    random = np.random.default_rng(seed)
    made = index("flat")
    ids = random.choice(1000, count, replace=False)
    table = dict(zip(ids.tolist(), random.normal(size=(count, DIM)).astype(np.float32), strict=True))
    made.add(ids, np.array(list(table.values()), np.float32).reshape(-1, DIM))
    assert share_found(made, "inner", table, random.normal(size=(queries, DIM)).astype(np.float32), k) == 1.0


@pytest.mark.family(FAMILY)
@pytest.mark.parametrize("name", members(FAMILY))
def test_wrong_vectors_are_told(name):
    made = index(name)
    with pytest.raises(ValueError, match=r"must be \(n, 8\), but are \(3, 7\)"):
        made.add(np.arange(3), np.zeros((3, 7), np.float32))
    with pytest.raises(ValueError, match="the id 4 is there twice"):
        made.add(np.array([4, 5, 4]), vectors(3))
    bad = vectors(3)
    bad[1, 2] = np.nan
    with pytest.raises(ValueError, match="vector 1 has a number that is not finite"):
        made.add(np.arange(3), bad)
    with pytest.raises(ValueError, match="3 vectors need as many ids"):
        made.add(np.arange(2), vectors(3))


def test_a_damaged_index_is_told(tmp_path):
    made = index("flat")
    made.add(np.arange(5), vectors(5))
    made.save(tmp_path)
    content = bytearray((tmp_path / "vectors.faiss").read_bytes())
    content[-1] ^= 1
    (tmp_path / "vectors.faiss").write_bytes(content)
    with pytest.raises(RunError, match=r"vectors.faiss is damaged"):
        Index.load(tmp_path)
    with pytest.raises(RunError, match="holds no whole index"):
        Index.load(tmp_path / "nothing")


def test_parts_that_do_not_divide_a_vector_are_told():
    with pytest.raises(ConfigError, match="cuts vectors of 10 numbers into 4 equal parts"):
        index("ivf_pq", dim=10)
