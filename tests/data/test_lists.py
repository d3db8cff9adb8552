"""Lists of candidates: the same rows from wherever reading begins."""

import numpy as np
import pyarrow as pa
import pytest

from easyrec.config.distill import LIST, WEIGHT
from easyrec.data.lists import ListSource
from easyrec.data.sources import frame
from easyrec.data.sources.frame import FrameSource
from easyrec.errors import ConfigError, DataError

COLUMNS = ["user", "item", "price", "click", LIST, WEIGHT]


@pytest.fixture
def log(monkeypatch):
    monkeypatch.setattr(frame, "UNIT_ROWS", 40)
    n = 100
    rows = {"user": np.arange(n), "item": np.arange(n) % 7, "price": np.arange(n) / 2.0, "click": np.ones(n, np.int64)}
    return FrameSource(rows, "log")


def items(**more):
    return pa.table({"item": np.arange(100, 109), "price": np.arange(9.0), **more})


def read(source, unit, start=0, columns=COLUMNS):
    return pa.Table.from_batches(source.read(unit, columns, start))


@pytest.mark.parametrize(("number", "stride"), [(3, 1), (2, 7), (0, 1)])
def test_rows_are_the_same_from_wherever_reading_begins(log, number, stride):
    source = ListSource(log, items(), number, stride, 5, ["click"])
    for unit in source.units():
        whole = read(source, unit)
        assert whole.num_rows == unit.rows
        for start in range(unit.rows):
            assert read(source, unit, start).equals(whole.slice(start)), start
    assert source.num_rows == 100 + number * sum(-(-u.rows // stride) for u in log.units())


def test_a_list_is_a_row_with_other_items_whose_labels_weigh_nothing(log):
    source = ListSource(log, items(), 4, 10, 5, ["click"])
    rows = read(source, source.units()[0]).to_pandas()
    lists = rows.groupby(LIST)
    assert sorted(lists.size().unique()) == [1, 5]
    for _, part in lists:
        own, drawn = part.iloc[0], part.iloc[1:]
        assert (part["user"] == own["user"]).all()
        assert (own["item"], own["click"], own[WEIGHT]) == (own["user"] % 7, 1, 1)
        assert (drawn["item"] >= 100).all()
        assert (drawn["price"] == drawn["item"] - 100).all()  # a drawn item comes with its own columns
        assert not drawn["click"].any()
        assert not drawn[WEIGHT].any()
    assert len(set(rows.loc[rows[WEIGHT] == 0, "item"])) > 4
    other = ListSource(log, items(), 4, 10, 6, ["click"])
    assert not read(other, other.units()[0]).equals(read(source, source.units()[0]))


def test_an_error_names_the_row_of_the_log(log):
    source = ListSource(log, items(), 2, 3, 0, ["click"])
    unit = source.units()[1]
    users = read(source, unit)["user"].to_pylist()
    assert [source.locate(unit, row).row for row in range(unit.rows)] == users


def test_what_a_catalogue_cannot_be(log):
    with pytest.raises(DataError, match="no items"):
        ListSource(log, items().slice(0, 0), 2, 1, 0, [])
    with pytest.raises(ConfigError, match=r"'price' is string in the catalogue and double in the rows"):
        ListSource(log, pa.table({"price": ["cheap"]}), 2, 1, 0, [])
