import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from easyrec.data.sources import frame
from easyrec.errors import ConfigError, DataError


def read(data):
    source = frame.FrameSource(data)
    return [row for u in source.units() for b in source.read(u, list(source.columns)) for row in b.to_pylist()]


ROWS = [{"a": 1, "b": "x", "c": [1, 2]}, {"a": 2, "b": None, "c": []}]


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame(ROWS),
        pa.Table.from_pylist(ROWS),
        pa.RecordBatch.from_pylist(ROWS),
        {"a": np.array([1, 2]), "b": ["x", None], "c": [[1, 2], []]},
        ROWS,
    ],
    ids=["pandas", "table", "record-batch", "dict", "list-of-dicts"],
)
def test_all_forms_of_rows_in_memory_are_equal(data):
    assert read(data) == ROWS


@pytest.mark.parametrize("data", [pd.DataFrame({"a": [1.5, np.nan]}), {"a": np.array([1.5, np.nan])}])
def test_nan_is_missing(data):
    assert read(data) == [{"a": 1.5}, {"a": None}]


def test_a_two_dimensional_array_is_a_column_of_vectors():
    assert read({"v": np.arange(6.0).reshape(3, 2)}) == [{"v": [0, 1]}, {"v": [2, 3]}, {"v": [4, 5]}]


@pytest.mark.parametrize(
    ("data", "column"),
    [
        ({"a": [1, "x"]}, "a"),
        (pd.DataFrame({"a": [1, 2], "b": [1, "x"]}), "b"),
        ({"a": [1, 2], "b": [1]}, "b"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "a"),
    ],
    ids=["mixed-list", "mixed-object-column", "unequal-lengths", "column-twice"],
)
def test_a_column_that_cannot_be_one_is_named(data, column):
    with pytest.raises(DataError) as caught:
        frame.FrameSource(data, "train").require([column])
    assert (caught.value.file, caught.value.column) == ("train", column)


@pytest.mark.parametrize("junk", [[1, "x"], [object(), None], [{"a": 1.0}, {2: "b"}]], ids=["mixed", "object", "dicts"])
def test_a_column_that_nothing_reads_may_hold_anything(junk):
    source = frame.FrameSource(pd.DataFrame({"a": [1, 2], "junk": pd.Series(junk, dtype=object)}))
    source.require(["a"])
    assert [batch.to_pydict() for batch in source.read(source.units()[0], ["a"])] == [{"a": [1, 2]}]
    with pytest.raises(DataError, match="cannot be one column"):
        source.require(["a", "junk"])


def test_what_holds_no_rows_is_refused():
    with pytest.raises(DataError, match="but is int"):
        frame.FrameSource(3)


def test_a_config_alone_has_no_rows():
    with pytest.raises(ConfigError, match="handed over in Python"):
        frame.Config().open()
