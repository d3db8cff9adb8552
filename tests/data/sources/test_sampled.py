"""Shares of rows: nested, counted, told at their place, and those of a split alone."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.config.data import SplitByTime
from easyrec.data.sources._sampled import SampledSource
from easyrec.data.sources.frame import FrameSource
from easyrec.data.sources.parquet import Config
from easyrec.data.split import part_of
from easyrec.errors import ConfigError

ROWS = 3000


@pytest.fixture(params=["file", "memory"])
def source(request, tmp_path):
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"place": np.arange(ROWS), "time": random.permutation(ROWS), "word": [f"w{i}" for i in range(ROWS)]}
    )
    if request.param == "memory":
        return FrameSource(frame, "train")
    pq.write_table(pa.Table.from_pandas(frame), tmp_path / "rows.parquet", row_group_size=700)
    return Config(path=str(tmp_path / "rows.parquet")).open()


def places(source, column="place"):
    return [value for unit in source.units() for b in source.read(unit, [column]) for value in b.column(0).to_pylist()]


@pytest.mark.parametrize("clock", [None, "time"])
def test_a_smaller_share_is_a_part_of_a_larger_one_in_the_same_order(source, clock):
    small, large = (SampledSource(source, share, clock) for share in (0.1, 0.4))
    assert set(places(small)) < set(places(large))
    assert places(large) == sorted(places(large))
    assert len(places(large)) == pytest.approx(0.4 * ROWS, abs=0 if clock else 4 * np.sqrt(ROWS * 0.24))


def test_the_newest_are_taken(source):
    assert sorted(places(SampledSource(source, 0.25, "time"), "time")) == list(range(ROWS * 3 // 4, ROWS))


@pytest.mark.parametrize("clock", [None, "time"])
def test_rows_are_counted_before_they_are_read(source, clock):
    sampled = SampledSource(source, 0.3, clock)
    for unit in sampled.units():
        assert unit.rows == sum(batch.num_rows for batch in sampled.read(unit, ["word"]))
    assert sampled.num_rows == len(places(sampled))


def test_the_same_rows_are_drawn_whatever_the_units(tmp_path, source):
    whole = source.columns and SampledSource(source, 0.2)
    table = pa.table({"place": np.arange(ROWS)})
    pq.write_table(table, tmp_path / "other.parquet", row_group_size=333)
    assert places(SampledSource(Config(path=str(tmp_path / "other.parquet")).open(), 0.2)) == places(whole)


@pytest.mark.parametrize("clock", [None, "time"])
def test_a_row_is_found_where_the_other_source_has_it(source, clock):
    sampled = SampledSource(source, 0.3, clock)
    unit = sampled.units()[-1]
    (found,) = (batch for batch in sampled.read(unit, ["place"], start_row=7))
    first = source.locate(source.units()[-1], 0)
    place = sampled.locate(unit, 7)
    assert place.row - first.row == found.column(0)[0].as_py() - next(source.read(unit, ["place"])).column(0)[0].as_py()
    assert place.file == first.file


@pytest.mark.parametrize("clock", [None, "time"])
def test_rows_of_other_parts_all_stay(source, clock):
    split = SplitByTime(column="time", valid_from=2000)
    train, valid = (part_of(split, part, pa.int64()) for part in ("train", "valid"))
    sampled = SampledSource(source, 0.5, clock, train)
    times = np.array(places(sampled, "time"))
    assert sorted(times[times >= 2000]) == list(range(2000, ROWS))
    learned = times[times < 2000]
    assert len(learned) == pytest.approx(1000, abs=0 if clock else 100)
    assert clock is None or learned.min() == 1000
    assert valid.units(sampled)


def test_a_column_that_there_is_not_is_told(source):
    with pytest.raises(ConfigError, match="no column 'tiem'; did you mean 'time'"):
        SampledSource(source, 0.5, "tiem")
