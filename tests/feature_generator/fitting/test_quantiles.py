"""`Quantiles`: no rank is wrong by more than it says, and that is not more than its bound."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_generator.fitting.quantiles import Quantiles

NUMBERS = st.integers(-30, 30).map(float) | st.floats(-1e6, 1e6)


def bound(count, capacity):
    return 0 if count < capacity else count / capacity * (1 + math.log2(count / capacity))


def check(found, numbers):
    """Ranks at and between all numbers, against the sorted numbers."""
    ordered = np.sort(numbers)
    probes = np.unique(np.concatenate([ordered, ordered - 0.5, ordered + 0.5]))
    wrong = np.abs(found.below(probes) - np.searchsorted(ordered, probes))
    assert found.count == len(ordered)
    assert wrong.max(initial=0) <= found.error <= bound(len(ordered), found.capacity)
    assert found.table()[1].sum() == len(ordered)


@given(st.lists(st.lists(NUMBERS, max_size=60), max_size=8), st.sampled_from([4, 6, 16]), st.randoms())
def test_ranks_keep_the_bound_however_parts_are_merged(parts, capacity, random):
    sketches = []
    for part in parts:
        sketch = Quantiles(capacity=capacity)
        for numbers in np.array_split(np.array(part, np.float64), random.randint(1, 5)):
            sketch.add(numbers)
        check(sketch, np.array(part))
        sketches.append(sketch)
    while len(sketches) > 1:
        one = sketches.pop(random.randrange(len(sketches)))
        random.choice(sketches).merge(one)
    if sketches:
        check(sketches[0], np.array([number for part in parts for number in part]))


@pytest.mark.parametrize("shape", ["sorted", "falling", "random", "ties", "zigzag"])
def test_ranks_keep_the_bound_on_many_numbers(shape):
    rng = np.random.default_rng(0)
    numbers = np.arange(400_000.0)
    numbers = {
        "sorted": numbers,
        "falling": numbers[::-1],
        "random": rng.permutation(numbers),
        "ties": rng.zipf(1.3, len(numbers)).clip(max=1000).astype(float),
        "zigzag": np.where(numbers % 2 == 0, numbers, -numbers),
    }[shape]
    found = Quantiles(capacity=256)
    for part in np.array_split(numbers, 571):
        found.add(part)
    check(found, numbers)
    assert found.error > 0
    kept = sum(level.size for level in found._levels)
    assert kept <= 2 * 256 * len(found._levels) < 2 * 256 * 20


def test_few_distinct_numbers_are_counted_exactly():
    rng = np.random.default_rng(0)
    numbers = np.minimum(rng.zipf(1.2, 300_000), 255).astype(float)
    labels = rng.random(300_000)
    found = Quantiles(labelled=True, capacity=256)
    for part in np.array_split(np.arange(300_000), 97):
        found.add(numbers[part], labels[part])
    values, counts, sums = found.table()
    assert found.error == 0
    np.testing.assert_array_equal(values, np.unique(numbers))
    np.testing.assert_array_equal(counts, np.unique(numbers, return_counts=True)[1])
    np.testing.assert_allclose(sums[:, 0], [labels[numbers == value].sum() for value in values])


@given(st.lists(NUMBERS, min_size=1, max_size=300), st.integers(2, 12))
def test_edges_of_few_numbers_are_those_of_the_definition(numbers, buckets):
    found = Quantiles()
    found.add(np.array(numbers))
    ordered = sorted(numbers)
    expected = set()
    for j in range(1, buckets):
        # The least number with at least a share j / buckets of all numbers below it.
        fitting = [x for x in ordered if sum(y < x for y in ordered) * buckets >= len(ordered) * j]
        expected.update(fitting[:1])
    assert found.edges(buckets).tolist() == sorted(expected)


def test_edges_of_many_numbers_fill_buckets_evenly():
    rng = np.random.default_rng(1)
    numbers = rng.lognormal(size=300_000)
    found = Quantiles(capacity=1024)
    for part in np.array_split(numbers, 100):
        found.add(part)
    counts = np.bincount(np.searchsorted(found.edges(50), numbers, side="right"), minlength=50)
    assert np.abs(counts - 6000).max() <= 2 * found.error + 1
    assert found.error < 3000


def test_a_number_that_fills_a_bucket_gets_one():
    found = Quantiles()
    found.add(np.array([0.0] * 60 + list(range(1, 41))))
    assert found.edges(4).tolist() == [1.0, 16.0]


@given(
    st.lists(st.tuples(NUMBERS, st.sampled_from([0.0, 1.0])), min_size=1, max_size=300), st.sampled_from([4, 16, 512])
)
def test_sums_of_labels_keep_the_same_bound(pairs, capacity):
    numbers, labels = (np.array(column) for column in zip(*pairs, strict=True))
    found = Quantiles(labelled=True, capacity=capacity)
    for part in np.array_split(np.arange(len(numbers)), 4):
        found.add(numbers[part], labels[part])
    values, _, sums = found.table()
    assert sums[:, 0].sum() == labels.sum()
    for value in values:
        assert abs(sums[values < value, 0].sum() - labels[numbers < value].sum()) <= found.error


@given(st.lists(NUMBERS, max_size=200), st.booleans())
def test_the_state_comes_back(numbers, labelled):
    found = Quantiles(labelled, capacity=8)
    found.add(np.array(numbers, np.float64), np.ones(len(numbers)))
    again = Quantiles.of(*found.state())
    for one in (found, again):
        one.add(np.arange(30.0), np.arange(30.0))
    for mine, its in zip(found.table(), again.table(), strict=True):
        np.testing.assert_array_equal(mine, its)
    assert (again.count, again.error) == (found.count, found.error)
