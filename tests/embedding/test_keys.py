"""The key map of dynamic tables against a slow one in plain Python, and what its rules promise."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easyrec.embedding import native
from easyrec.embedding.keys import FinishedKeys, KeyMap, start_rows
from easyrec.embedding.spec import Initializer, KeySpec, TableSpec
from easyrec.errors import CheckpointError

SHARE = 32  # a full table gives up one row of so many at once


def scrambled(key):
    """SplitMix64's finalizer, which decides among equals."""
    x = (key % 2**64 + 0x9E3779B97F4A7C15) % 2**64
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


class Obvious:
    """The rules of a key map with exact counts, by dictionaries."""

    def __init__(self, spec):
        self.spec, self.rows, self.waiting, self.swept = (
            spec,
            {},
            {},
            0,
        )  # key -> [row, count, step]; key -> [count, step]

    def admit(self, ids, step):
        if self.spec.ttl and step // max(1, self.spec.ttl // 8) != self.swept:
            self.swept = step // max(1, self.spec.ttl // 8)
            self.rows = {k: v for k, v in self.rows.items() if step - v[2] <= self.spec.ttl}
            self.waiting = {k: v for k, v in self.waiting.items() if step - v[1] <= self.spec.ttl}
        return [self.one(key, step) for key in ids]

    def one(self, key, step):
        if key in self.rows:
            entry = self.rows[key]
            if self.spec.eviction == "score" and entry[2] != step:
                entry[1] *= 2.0 ** (-(step - entry[2]) / self.spec.half_life)
            entry[1:] = [entry[1] + 1, step]
            return entry[0]
        count = 1
        if self.spec.counting == "exact" and self.spec.min_count > 1:
            if key not in self.waiting:
                while len(self.waiting) >= self.spec.size:
                    self.waiting = {k: [c // 2, s] for k, (c, s) in self.waiting.items()}
                    self.waiting = {k: v for k, v in self.waiting.items() if v[0]}
                self.waiting[key] = [0, step]
            self.waiting[key] = [self.waiting[key][0] + 1, step]
            count = self.waiting[key][0]
            if count < self.spec.min_count:
                return -1
        if len(self.rows) == self.spec.capacity:
            self.evict(step)
        if len(self.rows) == self.spec.capacity:
            return -1
        self.waiting.pop(key, None)
        taken = {row for row, _, _ in self.rows.values()}
        row = next(row for row in range(self.spec.capacity) if row not in taken)
        self.rows[key] = [row, float(count), step]
        return row

    def evict(self, step):
        many = max(1, self.spec.capacity // SHARE)
        old = {key: value for key, value in self.rows.items() if value[2] != step}

        def score(key):
            _, count, seen = old[key]
            decayed = count * 2.0 ** (-(step - seen) / self.spec.half_life) if self.spec.half_life else 0
            return {"lru": seen, "lfu": count, "score": decayed}[self.spec.eviction], scrambled(key)

        for key in sorted(old, key=score)[:many]:
            del self.rows[key]


SPECS = st.builds(
    KeySpec,
    name=st.just("item"),
    capacity=st.integers(1, 70),
    counting=st.sampled_from(["none", "exact"]),
    min_count=st.integers(2, 4),
    size=st.integers(1, 20),
    eviction=st.sampled_from(["lru", "lfu", "score"]),
    half_life=st.just(4.0),
    ttl=st.sampled_from([0, 0, 3, 20]),
)
STEPS = st.lists(st.lists(st.integers(-90, 90), max_size=40), min_size=1, max_size=25)


@settings(max_examples=300, deadline=None)
@given(SPECS, STEPS)
def test_a_map_does_what_the_obvious_one_does(spec, steps):
    keys, obvious = KeyMap(spec, 1), Obvious(spec)
    for step, ids in enumerate(steps):
        rows, fresh, new = keys.admit(np.array(ids, np.int64), step)
        assert rows.tolist() == obvious.admit(ids, step)
        assert [obvious.rows[k][0] for k in new.tolist() if k in obvious.rows] == [
            row for row, k in zip(fresh.tolist(), new.tolist(), strict=True) if k in obvious.rows
        ]
    held, at = keys.held()
    assert dict(zip(held.tolist(), at.tolist(), strict=True)) == {k: v[0] for k, v in obvious.rows.items()}
    state = keys.arrays()
    waiting = state["rows"] < 0
    assert dict(zip(state["keys"][waiting].tolist(), state["counts"][waiting].tolist(), strict=True)) == {
        k: v[0] for k, v in obvious.waiting.items()
    }
    assert keys.find(np.arange(-90, 91)).tolist() == [obvious.rows.get(k, [-1])[0] for k in range(-90, 91)]


RULES = [
    KeySpec("item", 40),
    KeySpec("item", 40, "exact", 3, size=25, eviction="lfu"),
    KeySpec("item", 40, "sketch", 2, size=30, eviction="score", half_life=5.0),
    KeySpec("item", 40, "chance", probability=0.3, ttl=16),
]


@pytest.mark.parametrize("spec", RULES, ids=lambda spec: spec.counting)
def test_a_restored_map_goes_on_exactly(spec):
    random = np.random.default_rng(2)
    steps = [(random.random(60) ** 3 * 300).astype(np.int64) for _ in range(60)]
    keys = KeyMap(spec, 1)
    for step, ids in enumerate(steps[:30]):
        keys.admit(ids, step)
    other = KeyMap(spec, 1).restored({name: array.copy() for name, array in keys.arrays().items()})
    for step, ids in enumerate(steps[30:], 30):
        ours, theirs = keys.admit(ids, step), other.admit(ids, step)
        for one, two in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, two)
    for name, array in keys.arrays().items():
        np.testing.assert_array_equal(array, other.arrays()[name])


def test_a_key_of_this_very_step_keeps_its_row():
    keys = KeyMap(KeySpec("item", 3), 1)
    rows, _, _ = keys.admit(np.array([1, 2, 3, 4, 1]), 0)
    assert rows.tolist() == [0, 1, 2, -1, 0]
    assert keys.counts.refused == 1
    rows, fresh, new = keys.admit(np.array([4]), 1)
    assert (fresh.tolist(), new.tolist()) == (rows.tolist(), [4])
    assert keys.counts.evicted == 1


def test_a_sketch_never_counts_too_few():
    random = np.random.default_rng(3)
    keys = KeyMap(KeySpec("item", 5000, "sketch", 5, size=4000), 1)
    ids = (random.random(3000) ** 2 * 500).astype(np.int64)
    counts = np.zeros(500, int)
    for step, key in enumerate(ids):
        counts[key] += 1
        rows, _, _ = keys.admit(np.array([key]), step)
        assert counts[key] < 5 or rows[0] >= 0
    assert len(keys) < 1.05 * np.sum(counts >= 5)


def test_chance_admits_at_its_rate():
    keys = KeyMap(KeySpec("item", 100_000, "chance", probability=0.25), 1)
    keys.admit(np.arange(40_000), 0)
    assert abs(len(keys) - 10_000) < 4 * math.sqrt(40_000 * 0.25 * 0.75)


@pytest.mark.parametrize("kind", ["keys", "rows", "marks"])
def test_a_state_that_does_not_fit_is_refused(kind):
    keys = KeyMap(KeySpec("item", 3), 1)
    keys.admit(np.array([5, 6]), 0)
    state = keys.arrays()
    if kind == "keys":
        state["keys"] = np.array([5, 5])
    elif kind == "rows":
        state["rows"] = np.array([0, 3], np.int32)
    else:
        del state["marks"]
    with pytest.raises(CheckpointError, match="item"):
        KeyMap(KeySpec("item", 3), 1).restored(state)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), unique=True, max_size=200), st.lists(st.integers(-5, 5)))
def test_finished_keys_find_what_was_written(keys, others):
    rows = np.arange(len(keys))[::-1] * 3
    finished = FinishedKeys(native.key_slots(np.array(keys, np.int64), np.ascontiguousarray(rows)))
    asked = [*keys, *others]
    expected = [rows[keys.index(key)] if key in keys else -1 for key in asked]
    assert finished.find(np.array(asked, np.int64)).tolist() == expected


@pytest.mark.parametrize(("kind", "value", "deviation"), [("normal", 0.05, 0.05), ("uniform", 0.3, 0.3 / math.sqrt(3))])
def test_rows_start_as_told_and_by_their_key_alone(kind, value, deviation):
    spec = TableSpec("item", 20_000, 16, ("item",), True, Initializer(kind, value), "item")
    weights, rows = np.zeros((20_000, 16), np.float32), np.arange(20_000)
    start_rows(spec, weights, rows, rows + 7, 1)
    assert abs(weights.mean()) < 4 * deviation / math.sqrt(weights.size)
    assert weights.std() == pytest.approx(deviation, rel=0.01)
    assert abs(np.corrcoef(weights[:-1, 0], weights[1:, 0])[0, 1]) < 0.03
    assert abs(np.corrcoef(weights[:, 0], weights[:, 1])[0, 1]) < 0.03
    if kind == "uniform":
        assert np.abs(weights).max() <= value
    again = np.zeros((2, 16), np.float32)
    start_rows(spec, again, np.array([1]), np.array([107]), 1)
    np.testing.assert_array_equal(again[1], weights[100])
