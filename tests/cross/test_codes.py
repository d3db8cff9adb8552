"""Codes of rows, and their crosses, against plain loops."""

import numpy as np
import pytest

from easyrec.tune.cross import codes as module
from easyrec.tune.cross.codes import Codes, compact, crossed

LISTS = {
    "one each": [[1], [2], [0], [3], [1]],
    "several": [[1, 2], [], [3], [2, 2, 1], [0]],
    "others": [[2], [1, 3], [1], [], [3, 1]],
}


def made(lists, size=4):
    lengths = [len(values) for values in lists]
    flat = np.array([value for values in lists for value in values], np.int32)
    if set(lengths) == {1}:
        return Codes(flat, size)
    return Codes(flat, size, np.concatenate([[0], np.cumsum(lengths)]))


def listed(codes):
    ends = np.cumsum(codes.lengths)
    return [codes.values[end - length : end].tolist() for end, length in zip(ends, codes.lengths, strict=True)]


@pytest.mark.parametrize("left", LISTS)
@pytest.mark.parametrize("right", LISTS)
def test_a_cross_is_every_pair_of_the_row_and_pairs_differ(left, right):
    found = listed(crossed(made(LISTS[left]), made(LISTS[right])))

    names = {}
    for values, ones, others in zip(found, LISTS[left], LISTS[right], strict=True):
        pairs = [(a, b) for a in ones for b in others]
        assert len(values) == len(pairs)
        for value, pair in zip(values, pairs, strict=True):
            assert (value == 0) == (0 in pair)
            assert names.setdefault(pair, value) == value
    known = [value for pair, value in names.items() if 0 not in pair]
    assert len(set(known)) == len(known)


@pytest.mark.parametrize("name", LISTS)
def test_sums_counts_rows_and_spans_are_those_of_loops(name):
    lists, codes = LISTS[name], made(LISTS[name])
    weights, values = np.array([0.0, 0.5, -2.0, 3.0]), np.arange(1.0, 6.0)

    assert codes.sums(weights).tolist() == pytest.approx([sum(weights[v] for v in row) for row in lists])
    expected = [sum(value for value, row in zip(values, lists, strict=True) for v in row if v == k) for k in range(4)]
    assert codes.counts(values).tolist() == expected
    assert listed(codes.take(np.array([3, 0, 0]))) == [lists[3], lists[0], lists[0]]
    assert listed(codes.slice(slice(1, 4))) == lists[1:4]


def test_more_combinations_than_there_are_codes_share_some(monkeypatch):
    monkeypatch.setattr(module, "MOST", 1 << 10)
    random = np.random.default_rng(0)
    one, other = (Codes(random.integers(0, 201, 5000).astype(np.int32), 201) for _ in range(2))

    found = crossed(one, other)

    assert found.size == 1 << 10
    assert found.values.max() < found.size
    assert ((found.values == 0) == ((one.values == 0) | (other.values == 0))).all()
    assert found.distinct > 1000
    again = crossed(one.take(np.arange(100)), other.take(np.arange(100)))
    assert (again.values == found.values[:100]).all()


def test_numbers_of_any_size_become_codes_from_one():
    found = compact(np.array([7 << 40, 0, 3, 7 << 40]))

    assert found.values.tolist() == [2, 0, 1, 2]
    assert found.size == 3
