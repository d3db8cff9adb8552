"""Estimates of how many words there are, and the tables that follow from them."""

import numpy as np
import pyarrow as pa
import pytest

from easyrec.tune.cross.cardinality import Distinct, buckets_for, collisions, words_behind


@pytest.mark.parametrize("words", [0, 1, 300, 20_000, 200_000])
def test_the_estimate_is_close_and_repeats_do_not_count(words):
    counted = Distinct()
    for start in range(0, words, 50_000):
        block = pa.array([f"word {i}" for i in range(start, min(start + 50_000, words))])
        counted.add(block)
        counted.add(block.slice(0, 10))

    assert counted.estimate == pytest.approx(words, rel=0.03, abs=0.5)


def test_collisions_are_those_of_words_thrown_into_buckets():
    places = np.random.default_rng(0).integers(0, 1000, (50, 400))
    shared = [np.bincount(row, minlength=1000)[row] > 1 for row in places]

    assert collisions(400, 1000) == pytest.approx(np.mean(shared), abs=0.01)
    assert collisions(1, 10) == 0
    assert collisions(2, 1) == 1


@pytest.mark.parametrize("words", [3, 1234, 70_000])
def test_buckets_keep_collisions_below_the_bound_and_are_no_larger_than_needed(words):
    size = buckets_for(words, 0.1, 10_000_000)

    assert collisions(words, size) <= 0.1
    assert words < 5 or collisions(words, int(size * 0.85)) > 0.1
    assert buckets_for(words, 0.1, 50) <= 50


def test_used_buckets_tell_the_words_behind_them():
    used = len(np.unique(np.random.default_rng(1).integers(0, 1000, 800)))

    assert words_behind(used, 1000) == pytest.approx(800, rel=0.07)
    assert words_behind(1000, 1000) == np.inf
