"""Intervals hold the truth as often as they say, and differences are found where there are some."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.stats import norm

from easyrec.intervals import difference, holm, interval, wilson
from rag.evaluation.gates import Gate, check_gates
from rag.evaluation.results import Summary


def test_an_interval_holds_the_true_mean_as_often_as_it_says():
    random = np.random.default_rng(7)
    held = 0
    for turn in range(300):
        found = interval((random.random(80) < 0.3).astype(float), 0.9, 600, turn)
        held += found.low <= 0.3 <= found.high
    assert 0.84 <= held / 300 <= 0.96


def test_an_interval_is_near_that_of_the_normal_distribution():
    values = np.random.default_rng(1).normal(0.5, 0.1, 2000)
    found = interval(values)
    half = norm.ppf(0.975) * values.std() / math.sqrt(2000)
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=4e-4)
    assert found.high == pytest.approx(values.mean() + half, abs=4e-4)
    assert found == interval(values), "the same seed, the same interval"


def test_few_and_many_different_values_have_the_same_interval():
    random = np.random.default_rng(4)
    few = random.choice([0.0, 0.25, 1.0], 300)
    many = few + random.normal(0, 1e-6, 300)
    a, b = interval(few), interval(many)
    assert (a.low, a.high) == pytest.approx((b.low, b.high), abs=3e-3)


def test_values_that_are_all_alike_leave_doubt():
    found = interval([1.0] * 20)
    assert (found.mean, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(20 / (20 + norm.ppf(0.975) ** 2))
    assert interval([1.0] * 2000).low > 0.99
    nothing = interval([])
    assert nothing.count == 0
    assert math.isnan(nothing.mean)


def test_what_all_have_is_never_outside_of_its_interval():
    for count in range(1, 200):
        for share in (0.0, 1.0):
            low, high = wilson(share, count, 0.95)
            assert low <= share <= high, count
            gate = Gate("x", share > 0, share)
            (judged,) = check_gates(
                [gate], [Summary("x", interval([share] * count), {"measured": count, "skipped": 0})], 1
            )
            assert judged.passed, count


def test_wilson_by_hand():
    low, high = wilson(0.5, 4, 0.95)
    z = 1.959964
    centre, half = (0.5 + z**2 / 8) / (1 + z**2 / 4), z / (1 + z**2 / 4) * math.sqrt(1 / 16 + z**2 / 64)
    assert (low, high) == pytest.approx((centre - half, centre + half), abs=1e-6)


def test_p_is_the_share_of_signs_that_do_as_much():
    own = [0.5, 0.25, 0.25, -0.1, 0.0]
    sums = [abs(sum(s * d for s, d in zip(signs, own, strict=True))) for signs in product([1, -1], repeat=5)]
    expected = np.mean([value >= abs(sum(own)) - 1e-12 for value in sums])
    found = difference([0.0] * 5, own)
    assert found.p == pytest.approx(expected)
    assert (found.better, found.worse, found.count) == (3, 1, 5)
    assert difference([0.3] * 4, [0.3] * 4).p == 1.0
    with pytest.raises(ValueError, match="no pairs"):
        difference([1.0], [1.0, 2.0])


def test_p_is_small_by_chance_as_often_as_it_says():
    random = np.random.default_rng(3)
    pairs = [(random.random(60), random.random(60)) for _ in range(300)]
    small = np.mean([difference(a, b, resamples=400, seed=n).p < 0.1 for n, (a, b) in enumerate(pairs)])
    assert 0.05 <= small <= 0.15


def test_a_real_difference_is_found_and_lies_in_its_interval():
    random = np.random.default_rng(5)
    first = random.random(400)
    found = difference(first, first + random.normal(0.05, 0.2, 400))
    assert found.p < 0.001
    assert 0.0 < found.low < 0.05 < found.high


def test_holm_by_hand():
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": math.nan})
    assert [found[key] for key in "abc"] == pytest.approx([0.03, 0.06, 0.06])
    assert math.isnan(found["d"])
