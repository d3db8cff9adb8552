"""Recall is measured against comparing all, time is that of one search, and the cheapest good setting is named."""

from itertools import pairwise

import numpy as np
import pytest

from easyrec.retrieval.indexes import build
from easyrec.retrieval.indexes._faiss import faiss
from easyrec.retrieval.tuning import Exact, Point, cheapest, measured, one_thread, sweep
from feature_generator.config import member, members

FAMILY = "easyrec.retrieval.indexes"
KEYS = {"ivf": {"lists": 32}, "ivf_pq": {"lists": 32, "bytes": 8}, "ivf_sq": {"lists": 32}, "hnsw": {"neighbors": 8}}


def index(name, **keys):
    return build(member(FAMILY, name).Config(type=name, **{**KEYS.get(name, {}), **keys}), 16)


def vectors(count, seed=1):
    return np.random.default_rng(seed).normal(size=(count, 16)).astype(np.float32)


@pytest.mark.parametrize("metric", ["inner", "cosine", "l2"])
def test_recall_is_the_share_of_the_nearest(metric):
    known, queries = vectors(400), vectors(9, seed=2)
    exact = Exact.of(queries, known, 10, metric)
    made = index("flat", metric=metric)
    made.add(np.arange(400), known)
    ids, _ = made.search(queries, 10)
    assert exact.recall(ids) == 1.0
    ids[:, 7:] = made.search(queries, 400)[0][:, 300:303]
    assert exact.recall(ids) == pytest.approx(0.7)
    ids[:, 7:] = -1
    assert exact.recall(ids) == pytest.approx(0.7)


def test_what_is_as_near_as_the_last_is_as_good():
    known = np.repeat(vectors(20), 5, axis=0)  # each five times
    exact = Exact.of(vectors(3, seed=2), known, 2, "inner")
    best = (exact.queries @ known.T).argsort(axis=1)[:, ::-1]
    assert exact.recall(best[:, 3:5]) == 1.0
    assert exact.recall(best[:, 5:7]) == 0.0


def test_fewer_vectors_than_are_wanted_are_all():
    exact = Exact.of(vectors(3, seed=2), vectors(4), 10, "inner")
    assert exact.k == 4
    assert exact.recall(np.tile(np.arange(4), (3, 1))) == 1.0


@pytest.mark.parametrize("name", members(FAMILY))
def test_more_effort_finds_more(name):
    known = vectors(3000)
    exact = Exact.of(vectors(40, seed=2), known, 10, "inner")
    made = index(name)
    made.add(np.arange(3000), known)
    before = faiss.omp_get_max_threads()
    points = list(sweep(made, name, exact, 0.01, 0.9))
    assert faiss.omp_get_max_threads() == before
    key = made.config.effort
    assert (len(points) == 1) == (key is None)
    rising = sorted(points, key=lambda point: point.config[key]) if key else points
    recalls = [point.recall for point in rising]
    assert all(b >= a - 0.02 for a, b in pairwise(recalls))
    assert recalls[-1] >= (0.5 if name == "ivf_pq" else 0.99)
    assert all(20 <= p.searches <= 40 and 0 < p.p50_ms <= p.p95_ms and p.bytes > 0 for p in points)
    if name in ("hnsw", "ivf"):  # between the last that fails and the first that reaches, two more are tried
        best = cheapest(points, 0.9)
        assert best.recall >= 0.9
        assert made.asked(**best.config).config == made.config.model_copy(update={key: best.config[key]})


def test_the_bytes_of_a_vector_are_those_that_are_written():
    for name in members(FAMILY):
        made = index(name)
        made.add(np.arange(20_000), vectors(20_000))
        writer = faiss.VectorIOWriter()
        faiss.write_index(made.inside, writer)
        size = writer.data.size() / 20_000 + made.ids.itemsize + made.alive.itemsize
        assert made.bytes_each == pytest.approx(size, rel=0.2)


def test_the_cheapest_of_those_that_are_good_enough_is_suggested():
    def point(recall, processor_ms):
        return Point("x", {}, recall, 1.0, 1.0, processor_ms, 20, 1.0)

    points = [point(0.9, 1), point(0.96, 3), point(0.95, 2), point(1.0, 9)]
    assert cheapest(points, 0.95) is points[2]
    assert cheapest(points, 0.97) is points[3]
    assert cheapest(points[:3], 0.97) is None


def test_one_thread_is_given_back():
    before = faiss.omp_get_max_threads()
    with one_thread():
        assert faiss.omp_get_max_threads() == 1
    assert faiss.omp_get_max_threads() == before


def test_time_is_limited():
    made, known = index("flat"), vectors(500)
    made.add(np.arange(500), known)
    assert measured(made, "flat", Exact.of(vectors(3000, seed=2), known, 5, "inner"), 1e-9).searches == 20
