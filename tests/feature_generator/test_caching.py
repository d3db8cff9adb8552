"""Fingerprints and the bounded index under caches, and computed items that grow."""

from collections import OrderedDict
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_generator import FeatureGenerator
from feature_generator.growing import GrowingItems
from feature_generator.native import Clock, key_prints, plain_print, row_prints
from feature_generator.request import compute

KEY = bytes(range(16))
OTHERS = [
    None, True, False, 0, 1, -1, 2**62, 0.0, -0.0, 1.0, float("inf"), "", "a", "ab", "1", "a" * 7, "a" * 8, "a" * 9, "a\0",
    [], [[]], ["a"], ["a", "b"], ["ab"], [["a"], "b"], [0], {}, {"a": 1}, {"a": 1.0}, {"b": 1}, {"a": 1, "b": 2}, {"a": [1, "b", 2]},
]  # fmt: skip


def test_other_values_have_other_fingerprints():
    prints = [plain_print(value, KEY) for value in OTHERS]
    assert all(len(one) == 16 for one in prints)
    for (a, first), (b, second) in combinations(enumerate(prints), 2):
        assert first != second, (OTHERS[a], OTHERS[b])


def test_a_fingerprint_depends_on_its_key_and_on_nothing_else():
    value = {"user_id": "u1", "seq": [{"item": 5, "cate": None}]}
    assert plain_print(value, KEY) == plain_print({"user_id": "u" + "1", "seq": [{"item": 5, "cate": None}]}, KEY)
    assert plain_print(value, KEY) != plain_print(value, bytes(16))


@pytest.mark.parametrize(
    "value",
    [np.arange(3), b"a", 2**63, {1: 2}, {"a": object()}, "\ud800", [pa.scalar(1)], np.float64(1.0)],
    ids=["array", "bytes", "too-large", "key", "object", "surrogate", "scalar", "numpy"],
)
def test_what_is_no_plain_data_has_no_fingerprint(value):
    assert plain_print(value, KEY) is None
    assert plain_print([value], KEY) is None


def test_data_in_itself_has_no_fingerprint():
    endless = []
    endless.append(endless)
    assert plain_print(endless, KEY) is None


COLUMNS = {
    "whole": pa.array([1, 2, None, 1, 1]),
    "small": pa.array([1, 1, 1, 1, 1], pa.int8()),
    "number": pa.array([0.5, 0.5, 0.5, -0.0, 0.0]),
    "narrow": pa.array([0.5, 0.5, 0.5, 0.5, 0.25], pa.float32()),
    "text": pa.array(["a", "a", "", None, "a"]),
    "long": pa.array(["a", "a", "b", "a", "a"], pa.large_string()),
    "view": pa.array(["a", "a longer text than twelve", "a", "a", "a"], pa.string_view()),
    "coded": pa.array(["x", "y", "x", None, "x"]).dictionary_encode(),
    "flag": pa.array([True, False, None, True, True]),
    "list": pa.array([["a", "b"], ["ab"], [], None, ["a", "b"]]),
    "lists": pa.array([[[1], [2]], [[1, 2]], [[1], []], [], [[1], [2]]]),
    "map": pa.array([[("a", 1)], [("a", 2)], [], None, [("b", 1)]], pa.map_(pa.string(), pa.int64())),
    "object": pa.array([{"a": 1}, {"a": None}, None, {"a": 2}, {"a": 1}]),
    "none": pa.nulls(5),
    "big": pa.array([2**63, 1, 2, 3, 4], pa.uint64()),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_rows_have_one_fingerprint_where_they_hold_the_same(name):
    column = COLUMNS[name]
    prints = [bytes(one) for one in row_prints(pa.record_batch({"c": column}), KEY)]
    for a, b in combinations(range(5), 2):
        same = str(column[a].as_py()) == str(column[b].as_py())  # -0.0 is no 0.0
        assert (prints[a] == prints[b]) == same, (name, a, b)
    part = row_prints(pa.record_batch({"c": column.slice(1, 3)}), KEY)  # wherever a row stands
    assert [bytes(one) for one in part] == prints[1:4]


def test_keys_are_texts_whatever_they_came_as():
    expected = [bytes(one) for one in key_prints(["12", "-7", "x"], KEY)]
    forms = [
        [12, -7, "x"],
        (12, "-7", "x"),
        pa.array(["12", "-7", "x"], pa.large_string()),
        pa.array(["12", "-7", "x"]).dictionary_encode(),
    ]
    for form in forms:
        assert [bytes(one) for one in key_prints(form, KEY)] == expected
    assert [bytes(one) for one in key_prints(pa.array([12, -7], pa.int16()), KEY)] == expected[:2]
    assert key_prints([], KEY).shape == (0, 2)


@given(
    most=st.integers(1, 6),
    steps=st.lists(st.tuples(st.sampled_from(["put", "find", "erase"]), st.integers(0, 12)), max_size=80),
)
@settings(max_examples=200, deadline=None)
def test_clock_is_the_clock_of_the_book(most, steps):
    prints = key_prints([str(n) for n in range(13)], KEY)
    clock, book = Clock(most), BookClock(most)
    for number, (what, key) in enumerate(steps):
        one = prints[key : key + 1]
        if what == "put":
            clock.put(one, np.array([number]))
            book.put(key, number)
        elif what == "erase":
            assert clock.erase(one) == book.erase(key)
        else:
            assert clock.find(one).tolist() == [book.find(key)]
        assert (len(clock), clock.evicted) == (len(book.number), book.evicted)
        assert sorted(clock.numbers().tolist()) == sorted(book.number.values())


class BookClock:
    """CLOCK in plain words: a ring of places, a mark for each, and a hand."""

    def __init__(self, most):
        self.ring, self.marked, self.number, self.free = [], {}, OrderedDict(), []
        self.most, self.hand, self.evicted = most, 0, 0

    def find(self, key):
        if key in self.number:
            self.marked[key] = True
        return self.number.get(key, -1)

    def put(self, key, number):
        if key not in self.number:
            self.ring[self.place()] = key
            self.marked[key] = False
        self.number[key] = number

    def place(self):
        if self.free:
            return self.free.pop()
        if len(self.ring) < self.most:
            self.ring.append(None)
            return len(self.ring) - 1
        while self.marked[self.ring[self.hand]]:
            self.marked[self.ring[self.hand]] = False
            self.hand = (self.hand + 1) % self.most
        place, self.hand = self.hand, (self.hand + 1) % self.most
        del self.number[self.ring[place]]
        self.evicted += 1
        return place

    def erase(self, key):
        if key not in self.number:
            return 0
        del self.number[key]
        self.free.append(self.ring.index(key))
        self.ring[self.free[-1]] = None
        return 1


def test_an_index_without_bound_keeps_all_of_many():
    keys = key_prints(pa.array(range(20_000)), KEY)
    clock = Clock()
    clock.put(keys, np.arange(20_000))
    assert clock.erase(keys[::3]) == len(keys[::3])
    expected = np.where(np.arange(20_000) % 3 == 0, -1, np.arange(20_000))
    np.testing.assert_array_equal(clock.find(keys), expected)
    kept = clock.numbers()
    clock.renumber()
    found = clock.find(keys)
    np.testing.assert_array_equal(kept[found[found >= 0]], expected[expected >= 0])


# ------------------------------------------------------------------------------------------ growing items

FEATURES = [
    {"type": "id", "name": "user", "expression": "user:user", "hash_bucket_size": 50},
    {"type": "id", "name": "id", "expression": "item:id", "hash_bucket_size": 50},
    {"type": "id", "name": "tags", "expression": "item:tags", "hash_bucket_size": 50},
    {"type": "id", "name": "kv", "expression": "item:kv", "hash_bucket_size": 50, "weighted": True},
    {"type": "id", "name": "seq", "expression": "item:seq", "hash_bucket_size": 50, "sequence_length": 4, "separator": "|"},
    {"type": "raw", "name": "price", "expression": "item:price"},
    {"type": "raw", "name": "vectors", "expression": "item:vectors", "value_dim": 2, "sequence_length": 3, "separator": "|"},
    {"type": "combo", "name": "both", "expression": ["user:user", "item:tags"], "hash_bucket_size": 50},
]  # fmt: skip
ROW = st.fixed_dictionaries(
    {
        "id": st.one_of(st.none(), st.integers(0, 99)),
        "tags": st.lists(st.sampled_from("abc"), max_size=3),
        "kv": st.sampled_from(["", "a:0.5", "a:0.5\x1db:2", "b"]),
        "seq": st.sampled_from(["", "a", "a;b", "a|b;c;d|e|f", "a;b;c;d;e"]),
        "price": st.floats(0, 9, width=32),
        "vectors": st.sampled_from(["", "1|2", "1|2;3|4"]),
    }
)
SCHEMA = pa.schema(
    {
        "id": pa.int64(), "tags": pa.list_(pa.string()), "kv": pa.string(), "seq": pa.string(), "price": pa.float32(),
        "vectors": pa.string(),
    }
)  # fmt: skip


@given(parts=st.lists(st.lists(ROW, max_size=4), min_size=1, max_size=5), data=st.data())
@settings(max_examples=60, deadline=None)
def test_items_in_parts_are_items_in_one(parts, data):
    generator = FeatureGenerator.load({"features": FEATURES})

    def computed(rows):
        return compute(generator.stages, pa.RecordBatch.from_pylist(rows, schema=SCHEMA), 1, "fail")

    growing = GrowingItems(computed(parts[0]))
    views = [(growing.items, len(parts[0]))]
    for part in parts[1:]:
        growing.extend(computed(part))
        views.append((growing.items, len(growing)))
    rows = [row for part in parts for row in part]
    for items, count in views:  # what was handed out before has not changed
        chosen = data.draw(st.lists(st.integers(0, count - 1), max_size=5)) if count else []
        whole = computed([rows[n] for n in chosen])
        request = generator.request({"user": "u"})
        taken, expected = request.score_items(items.take(chosen)), request.score_items(whole)
        assert taken.num_rows == expected.num_rows == len(chosen)
        for name in generator.outputs.keys() - {"user"}:
            if name in expected.dense_slices:
                np.testing.assert_array_equal(taken[name].values, expected[name].values)
                continue
            a, b = taken[name], expected[name]
            np.testing.assert_array_equal(a.values, b.values)
            np.testing.assert_array_equal(a.lengths, b.lengths)
            np.testing.assert_array_equal(a.key_lengths, b.key_lengths)
            ones = np.ones(len(a.values), np.float32)
            np.testing.assert_array_equal(
                ones if a.weights is None else a.weights, ones if b.weights is None else b.weights
            )


def test_columns_of_a_request_are_computed_with_it():
    features = [
        {"type": "id", "name": "id", "expression": "item:id", "hash_bucket_size": 50},
        {"type": "id", "name": "stub", "expression": "item:id", "hash_bucket_size": 50, "stub_type": True},
        {"type": "id", "name": "place", "expression": "item:place", "num_buckets": 9},
        {"type": "combo", "name": "both", "expression": ["feature:place", "feature:stub"], "hash_bucket_size": 50},
    ]
    generator = FeatureGenerator.load({"features": features})
    held = generator.items({"id": [1, 2, 3]}, asked=["place"])
    assert set(held.table) == {"id"}
    whole = generator.request().score_items({"id": [3, 1], "place": [4, 5]})
    table = generator.request().score_items(held.take([2, 0]).beside(pa.record_batch({"place": [4, 5]})))
    assert list(table) == list(whole)
    for name in whole:
        np.testing.assert_array_equal(table[name].values, whole[name].values)
