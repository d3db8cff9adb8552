"""Vectors of histories: the nearest by cosine; what co-occurs ends up near; the same seed gives the same numbers."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easyrec.errors import MissingExtra
from easyrec.statistics import build
from easyrec.statistics._statistic import Taken
from easyrec.statistics.item2vec import Config, nearest

GROUPS = {"user": ["user_id"], "item": ["item_id"]}


def communities():
    """Histories inside one of two halves of 20 items; the 21st item is never taken."""
    random = np.random.default_rng(1)
    lists = [random.permutation(10)[:6] + 10 * (user % 2) for user in range(300)]
    return Taken(np.concatenate(lists).astype(np.int32), np.arange(301, dtype=np.int64) * 6, 21)


@given(st.integers(0, 2**31), st.integers(1, 9), st.integers(1, 9))
@settings(max_examples=60)
def test_the_nearest_are_found_by_sorting(seed, size, keep):
    random = np.random.default_rng(seed)
    vectors = random.normal(0, 1, (size, 3)).astype(np.float32)
    known = random.random(size) < 0.8
    links = nearest(vectors, known, keep)
    for i in range(size):
        others = [j for j in range(size) if known[j] and j != i] if known[i] else []
        best = sorted(others, key=lambda j: -float(vectors[i] @ vectors[j]))[:keep]
        part = slice(links.offsets[i], links.offsets[i + 1])
        assert links.items[part].tolist() == best
        np.testing.assert_allclose(links.values[part], [vectors[i] @ vectors[j] for j in best], rtol=1e-4, atol=1e-6)


def test_without_gensim_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gensim", None)
    monkeypatch.setitem(sys.modules, "gensim.models", None)
    with pytest.raises(MissingExtra, match=r"pip install '.*\[item2vec\]'"):
        build(Config(groups=GROUPS)).links(communities())


@pytest.mark.parametrize("window", [None, 2])
def test_items_of_the_same_histories_are_near(window):
    pytest.importorskip("gensim", reason="an extra")
    config = Config(groups=GROUPS, dim=8, window=window, passes=30, subsample=0, negatives=5, neighbours=9)
    links, again = (build(config, seed=3).links(communities()) for _ in range(2))
    np.testing.assert_array_equal(links.values, again.values)
    assert np.diff(links.offsets).tolist() == [9] * 20 + [0]
    rows = np.repeat(np.arange(21), np.diff(links.offsets))
    assert ((rows >= 10) == (links.items >= 10)).mean() == 1
