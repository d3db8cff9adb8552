"""`Moments` against exact arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_generator.fitting.moments import Moments

NUMBERS = st.floats(-1e30, 1e30, allow_subnormal=False) | st.integers(-5, 5).map(float) | st.floats(1e9, 1e9 + 1)
PARTS = st.lists(st.lists(NUMBERS, max_size=20), max_size=6)


def moments(numbers):
    found = Moments()
    found.add(np.array(numbers, np.float64))
    return found


def exact(numbers):
    numbers = [Fraction(number) for number in numbers]
    mean = sum(numbers) / len(numbers)
    return mean, sum((number - mean) ** 2 for number in numbers)


@given(PARTS)
def test_merged_parts_are_the_whole(parts):
    merged, whole = Moments(), [number for part in parts for number in part]
    for part in parts:
        merged.merge(moments(part))
    assert merged.count == len(whole)
    if not whole:
        assert merged == Moments()
        return
    mean, m2 = exact(whole)
    size = max(abs(number) for number in whole)
    assert merged.mean == pytest.approx(float(mean), rel=1e-12, abs=1e-12 * size)
    # The square of what a mean may lack is all that can be added to the sum of squares.
    assert merged.m2 == pytest.approx(float(m2), rel=1e-12, abs=len(whole) * (1e-12 * size) ** 2)
    assert (merged.min, merged.max) == (min(whole), max(whole))


def test_numbers_far_from_zero_keep_their_variance():
    rng = np.random.default_rng(0)
    near = rng.normal(size=100_000)
    found = Moments()
    for part in np.array_split(near + 1e9, 37):
        found.add(part)
    assert found.std == pytest.approx(np.std(near), rel=1e-6)


def test_one_number_many_times_has_no_deviation():
    found = moments([0.1] * 1001)
    found.merge(moments([0.1] * 3))
    assert found.std == 0.0
    assert Moments().std == 0.0


@given(PARTS)
def test_the_state_comes_back_to_the_bit(parts):
    found = moments([number for part in parts for number in part])
    assert Moments.of(found.state()) == found
