"""What differs between two generators, against a comparison row by row."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from feature_generator import FeatureGenerator, Ragged
from feature_generator.comparison import compare, differing_rows
from feature_generator.explain import values_of
from feature_generator.feed import BatchFeed

USER = {"type": "id", "name": "user", "expression": "user:user", "num_buckets": 9}
PRICE = {"type": "raw", "name": "price", "expression": "item:price"}
DATA = pa.record_batch({"user": [1, 2, 11, 3], "price": [0.5, 1.0, None, 2.0], "words": ["a", "b", "a\x1db", ""]})


def load(*features, **more):
    return FeatureGenerator.load({"features": list(features), **more})


@st.composite
def pairs_of_columns(draw, rows=5):
    """Two ragged columns of one kind that agree in many rows."""
    kind = draw(st.sampled_from(["ids", "weighted", "elements", "vectors"]))
    value = st.integers(0, 2)
    weight = st.sampled_from([0.5, 1.0])
    element = {
        "ids": value,
        "weighted": st.tuples(value, weight),
        "elements": st.lists(value, max_size=2),
        "vectors": st.tuples(weight, weight),
    }[kind]
    cells = [draw(st.lists(element, max_size=2)) for _ in range(rows)]
    others = [draw(st.one_of(st.just(cell), st.lists(element, max_size=2))) for cell in cells]
    return cells, others, *(ragged(kind, c) for c in (cells, others))


def ragged(kind, cells):
    offsets = np.cumsum([0, *map(len, cells)])
    flat = [e for cell in cells for e in cell]
    if kind == "ids":
        return Ragged(np.array(flat, np.int64), offsets)
    if kind == "weighted":
        ids, weights = np.array([i for i, _ in flat], np.int64), np.array([w for _, w in flat], np.float32)
        return Ragged(ids, offsets, weights)
    if kind == "vectors":
        return Ragged(np.array(flat, np.float32).reshape(len(flat), 2), offsets)
    values = np.array([i for e in flat for i in e], np.int64)
    return Ragged(values, offsets, None, np.cumsum([0, *map(len, flat)]))


@given(pairs_of_columns())
def test_differing_rows_are_those_that_differ(pair):
    cells, others, old, new = pair
    rows, largest = differing_rows(old, new)
    assert rows.tolist() == [r for r, (a, b) in enumerate(zip(cells, others, strict=True)) if a != b]
    if old.values.ndim == 2:
        gaps = [
            abs(x - y)
            for a, b in zip(cells, others, strict=True)
            if len(a) == len(b)
            for u, v in zip(a, b, strict=True)
            for x, y in zip(u, v, strict=True)
        ]
        assert (largest or 0.0) == max(gaps, default=0.0)


def test_one_id_a_row_in_either_layout_is_the_same():
    plain, counted = Ragged(np.array([1, 2])), Ragged(np.array([1, 2]), np.array([0, 1, 2]))
    assert differing_rows(plain, counted)[0].tolist() == []
    assert differing_rows(plain, Ragged(np.array([1, 3])))[0].tolist() == [1]


def test_configs_and_values_that_change_are_told():
    words = {"type": "id", "name": "words", "expression": "item:words", "hash_bucket_size": 100}
    old = load(USER, PRICE, words)
    new = load(USER | {"num_buckets": 20}, PRICE | {"normalizer": "method=zscore,mean=0,standard_deviation=2"}, words)
    found = compare(old, new, BatchFeed([DATA.slice(0, 2), DATA.slice(2)]))
    assert (found.added, found.removed, found.rows, found.same) == ([], [], 4, ["words"])
    assert found.changed["user"] == [("num_buckets", 9, 20)]
    user, price = found.differences["user"], found.differences["price"]
    assert (user.rows, user.largest) == (1, None)
    assert [(e.row, e.old, e.new) for e in user.examples] == [(2, [], [11])]
    assert (price.rows, price.largest) == (3, 1.0)
    assert [e.row for e in price.examples] == [0, 1, 3]
    assert found.any


def test_features_that_come_and_go_are_told_and_renamed_ones_are_both():
    found = compare(load(USER, PRICE), load(USER, PRICE | {"name": "cost"}), BatchFeed([DATA]))
    assert (found.added, found.removed, found.differences, found.same) == (["cost"], ["price"], {}, ["user"])
    assert found.any


def test_another_kind_differs_on_every_row():
    found = compare(load(PRICE), load(PRICE | {"boundaries": [1]}), BatchFeed([DATA]))
    one = found.differences["price"]
    assert (one.rows, one.kinds, one.largest) == (4, ("dense of 1", "sparse"), None)
    assert (one.examples[0].old, one.examples[0].new) == ([0.5], [0])


def test_a_config_that_changes_without_a_value_that_does_is_no_change_of_values():
    found = compare(load(USER), load(USER | {"embedding_dim": 8}), BatchFeed([DATA]))
    assert found.changed == {"user": [("embedding_dim", None, 8)]}
    assert found.same == ["user"]
    assert not found.any


def test_another_hash_is_told_and_rows_can_be_limited():
    words = {"type": "id", "name": "words", "expression": "item:words", "hash_bucket_size": 10_000}
    found = compare(load(words), load(words, hash="farmhash"), BatchFeed([DATA]), most_rows=3, examples=1)
    assert found.hashes == ("murmur64a", "farmhash")
    assert (found.rows, found.differences["words"].rows) == (3, 3)
    assert len(found.differences["words"].examples) == 1


def test_without_rows_configs_alone_are_compared():
    found = compare(load(USER), load(USER | {"num_buckets": 7}))
    assert (found.rows, found.same, list(found.changed)) == (0, [], ["user"])


def test_examples_show_what_comes_out():
    generator, other = load(USER), load(USER | {"default_value": "3"})
    found = compare(generator, other, BatchFeed([DATA]))
    (example,) = found.differences["user"].examples
    assert example.new == values_of(other.transform(DATA)["user"], example.row)
