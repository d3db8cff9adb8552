"""Items as numbers: found by key, grouped by values, read as numbers."""

import numpy as np
import pyarrow as pa
import pytest

from easyrec.errors import DataError
from serving.engine.rows import Rows


def test_keys_are_found_as_texts_and_numbers(rows):
    assert rows.find([1000, "1003", 5]).tolist() == [0, 3, -1]
    assert rows.find(pa.array([1119, 1120])).tolist() == [119, -1]
    assert rows.keys_of(np.array([2, 0])) == [1002, 1000]
    assert rows.find([]).tolist() == []


def test_groups_hold_each_item_under_each_of_its_values(rows):
    for column in ("cate", "tags", "brand"):
        groups = rows.groups(column)
        for code, value in enumerate(groups.values):
            held = rows.table.column(column).to_pylist()
            expected = [n for n, one in enumerate(held) if value in (one if isinstance(one, list) else [one])]
            assert groups.of(code).tolist() == sorted(set(expected))
        assert [groups.values[code] for code in groups.first.tolist()][:3] == [
            (one[0] if isinstance(one, list) else one) for one in rows.table.column(column).to_pylist()[:3]
        ]


def test_a_tag_that_an_item_has_twice_counts_once():
    rows = Rows(pa.table({"id": [1, 2], "tags": [["a", "a"], ["a", None]]}), "id")
    assert rows.groups("tags").of(rows.code("tags", "a")).tolist() == [0, 1]


def test_columns_of_all_kinds_are_numbers():
    table = pa.table(
        {
            "id": ["a", "b"],
            "whole": [1, None],
            "yes": [True, False],
            "day": pa.array([0, 1], pa.date32()),
            "at": pa.array([1, 2], pa.timestamp("s")),
        }
    )
    rows = Rows(table, "id")
    np.testing.assert_equal(rows.numbers("whole"), [1.0, np.nan])
    assert rows.numbers("yes").tolist() == [1.0, 0.0]
    assert rows.numbers("day").tolist() == [0.0, 86_400_000.0]
    assert rows.numbers("at").tolist() == [1000.0, 2000.0]
    with pytest.raises(DataError, match="is string, and not numbers"):
        rows.numbers("id")


@pytest.mark.parametrize(
    ("values", "told"),
    [([1, 1], "the item '1' is there twice"), ([1, None], "must be a whole number or a text"), ([0.5, 1.0], "key")],
    ids=["twice", "null", "fraction"],
)
def test_a_bad_key_is_told(values, told):
    with pytest.raises(DataError, match=told):
        Rows(pa.table({"id": values}), "id")
