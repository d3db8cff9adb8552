"""Columns and tables: picking, cutting and joining rows of flat buffers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_generator import Column, Ragged, Table


def ends(lengths):
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def rows_of(ragged):
    """The rows as nested lists, worked out one element at a time."""
    values = ragged.values.tolist()
    if ragged.weights is not None:
        values = list(zip(values, ragged.weights.tolist(), strict=True))
    elements = values
    if ragged.key_offsets is not None:
        elements = [
            values[ragged.key_offsets[e] : ragged.key_offsets[e + 1]] for e in range(len(ragged.key_offsets) - 1)
        ]
    if ragged.offsets is None:
        return elements
    return [elements[ragged.offsets[r] : ragged.offsets[r + 1]] for r in range(len(ragged.offsets) - 1)]


@st.composite
def raggeds(draw, rows):
    lengths = draw(st.lists(st.integers(0, 4), min_size=rows, max_size=rows)) if draw(st.booleans()) else None
    elements = rows if lengths is None else sum(lengths)
    keys = draw(st.lists(st.integers(0, 3), min_size=elements, max_size=elements)) if draw(st.booleans()) else None
    n = elements if keys is None else sum(keys)
    vectors = keys is None and draw(st.booleans())
    values = np.arange(n * 3, dtype=np.float32).reshape(n, 3) if vectors else np.arange(n, dtype=np.int64) * 7
    weights = np.arange(n, dtype=np.float32) / 2 if not vectors and draw(st.booleans()) else None
    return Ragged(values, None if lengths is None else ends(lengths), weights, None if keys is None else ends(keys))


@given(st.data())
def test_take_slice_and_concat_do_what_lists_do(data):
    rows = data.draw(st.integers(0, 6))
    ragged = data.draw(raggeds(rows))
    expected = rows_of(ragged)
    assert len(ragged.lengths) == rows
    assert len(ragged.key_lengths) == ragged.elements
    indices = data.draw(st.lists(st.integers(0, rows - 1), max_size=8)) if rows else []
    assert rows_of(ragged.take(np.array(indices, np.int64))) == [expected[i] for i in indices]
    start = data.draw(st.integers(0, rows))
    stop = data.draw(st.integers(start, rows))
    assert rows_of(ragged.slice(start, stop)) == expected[start:stop]
    parts = [ragged.slice(0, start), ragged.slice(start, rows), ragged.take(np.array(indices, np.int64))]
    assert rows_of(Ragged.concat(parts)) == expected + [expected[i] for i in indices]


@pytest.fixture
def table():
    dense = np.arange(12, dtype=np.float32).reshape(4, 3)
    ragged = {
        "one": Ragged(np.array([5, 6, 7, 8])),
        "many": Ragged(np.array([1, 2, 3]), np.array([0, 2, 2, 3, 3]), np.array([0.5, 1, 2], np.float32)),
        "steps": Ragged(np.array([1, 2, 3, 4]), np.array([0, 1, 1, 2, 3]), None, np.array([0, 2, 3, 4])),
        "vectors": Ragged(np.ones((3, 2), np.float32), np.array([0, 1, 1, 2, 3])),
    }
    return Table(
        4, ragged, dense, {"a": slice(0, 2), "b": slice(2, 3)}, names=["one", "a", "many", "b", "steps", "vectors"]
    )


def test_a_dense_column_is_a_view_into_the_block(table):
    assert isinstance(table["a"], Column)
    assert np.shares_memory(table["a"].values, table.dense)
    np.testing.assert_array_equal(table["b"].values, [[2], [5], [8], [11]])


def test_slices_share_the_values(table):
    part = table.slice(1, 3)
    assert part.num_rows == 2
    assert np.shares_memory(part.dense, table.dense)
    assert np.shares_memory(part["many"].values, table["many"].values)


def test_arrow_and_back_is_the_same_table(table, kit):
    again = Table.from_arrow(table.to_arrow())
    assert list(again) == list(table)
    kit.equal(again, table)


def test_taking_equals_picking_from_the_block(table):
    taken = table.take([3, 0, 3])
    np.testing.assert_array_equal(taken.dense, table.dense[[3, 0, 3]])
    assert taken["one"].values.tolist() == [8, 5, 8]


@pytest.mark.parametrize("index", [-1, 4, 2**40])
def test_a_row_outside_is_an_error_not_a_crash(table, index):
    with pytest.raises(IndexError, match=r"outside 0 \.\. 3"):
        table.take([0, index])


def test_concat_shifts_bad_values_and_kept_rows(kit):
    generator = kit.load([{"type": "id", "name": "f", "expression": "user:f", "num_buckets": 9}])
    first = generator.transform({"f": ["1", "x", "2"]}, bad_rows="skip")
    second = generator.transform({"f": ["x", "3"]}, bad_rows="skip")
    whole = Table.concat([first, second])
    assert whole["f"].values.tolist() == [1, 2, 3]
    assert whole.kept.tolist() == [0, 2, 4]
    assert [b.row for b in whole.bad] == [1, 3]


def test_concat_of_one_list_after_another_keeps_weights():
    parts = [
        Ragged(np.array([1]), np.array([0, 1]), np.array([2.0], np.float32)),
        Ragged(np.array([], np.int64), np.array([0, 0]), np.array([], np.float32)),
    ]
    assert rows_of(Ragged.concat(parts)) == [[(1, 2.0)], []]
