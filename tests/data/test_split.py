import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.config.data import NegativeSampling, SplitByColumn, SplitByTime
from easyrec.data import Demand, Loader
from easyrec.data.sources.frame import FrameSource
from easyrec.data.sources.parquet import Config as Parquet
from easyrec.data.split import keep_negatives, part_of
from easyrec.errors import ConfigError
from feature_generator import FeatureGenerator


def rows(split, part, values, kind=None):
    array = pa.array(values, kind)
    batch = pa.RecordBatch.from_arrays([array], ["t"])
    return [
        v for v, inside in zip(values, part_of(split, part, array.type).rows(batch).to_pylist(), strict=True) if inside
    ]


PARTS = ("train", "valid", "test")


@pytest.mark.parametrize("encode", [False, True], ids=["plain", "dictionary"])
def test_a_column_divides_by_its_values(encode):
    split = SplitByColumn(column="t", train=["a", "b"], valid=["c"], test=["d"])
    values = ["a", "c", None, "b", "d", "other"]
    array = pa.array(values).dictionary_encode() if encode else pa.array(values)
    batch = pa.RecordBatch.from_arrays([array], ["t"])
    found = {part: part_of(split, part, array.type).rows(batch).to_pylist() for part in PARTS}
    assert found["train"] == [True, False, False, True, False, False]
    assert found["valid"] == [False, True, False, False, False, False]
    assert found["test"] == [False, False, False, False, True, False]


def test_numbers_of_a_column_are_compared_as_text():
    split = SplitByColumn(column="t", train=[1, 2], valid=["3"], test=[4])
    assert [rows(split, part, [1, 2, 3, 4, 5]) for part in PARTS] == [[1, 2], [3], [4]]


@pytest.mark.parametrize("kind", [pa.int64(), pa.float64(), pa.int8()])
def test_time_divides_half_open(kind):
    split = SplitByTime(column="t", valid_from=10, test_from=20)
    values = [9, 10, 19, 20, None]
    assert [rows(split, part, values, kind) for part in PARTS] == [[9], [10, 19], [20]]


def test_bounds_beyond_the_type_of_the_column_leave_parts_empty():
    split = SplitByTime(column="t", valid_from=1000, test_from=2000)
    assert [rows(split, part, [1, 100], pa.int8()) for part in PARTS] == [[1, 100], [], []]


def test_without_a_start_of_test_valid_is_all_that_remains():
    split = SplitByTime(column="t", valid_from=10)
    assert [rows(split, part, [9, 10, 99]) for part in PARTS] == [[9], [10, 99], []]


@pytest.mark.parametrize(
    "kind", [pa.timestamp("us"), pa.timestamp("s"), pa.timestamp("ns", tz="UTC"), pa.date32()], ids=str
)
def test_dates_divide_moments(kind):
    split = SplitByTime(column="t", valid_from="2024-05-02", test_from="2024-05-03")
    days = [datetime.date(2024, 5, day) for day in (1, 2, 3)]
    if not pa.types.is_date(kind):
        zone = datetime.timezone.utc if kind.tz else None
        days = [datetime.datetime(d.year, d.month, d.day, tzinfo=zone) for d in days]
    assert [rows(split, part, days, kind) for part in PARTS] == [[days[0]], [days[1]], [days[2]]]


def test_dates_as_text_divide_by_their_order():
    split = SplitByTime(column="t", valid_from="2024-05-02")
    assert rows(split, "train", ["2024-05-01", "2024-05-02"]) == ["2024-05-01"]


@pytest.mark.parametrize(
    ("bound", "kind", "message"),
    [
        ("2024-05-01", pa.int64(), "give a number in its unit"),
        (3.0, pa.timestamp("us"), "give an ISO date"),
        ("May", pa.timestamp("us"), "'May' is no ISO date"),
        (3.0, pa.list_(pa.int64()), "has no order in time"),
    ],
    ids=["date-for-numbers", "number-for-moments", "no-date", "list"],
)
def test_a_bound_that_does_not_fit_the_column_is_a_config_error(bound, kind, message):
    with pytest.raises(ConfigError, match=message):
        part_of(SplitByTime(column="t", valid_from=bound), "train", kind)


DAY = np.datetime64("2024-05-01", "us")
ROWS = pa.table(
    {
        "x": np.arange(1000),
        "number": np.arange(1000) // 10,
        "moment": DAY + np.arange(1000) * np.timedelta64(1, "h"),
        "text": [f"{i:04}" for i in range(1000)],
        "part": ["train"] * 800 + ["valid"] * 100 + ["test"] * 100,
    }
)


@pytest.mark.parametrize(
    "split",
    [
        SplitByTime(column="number", valid_from=80, test_from=90),
        SplitByTime(column="moment", valid_from=str(DAY + np.timedelta64(800, "h")), test_from="2024-06-07T12:00"),
        SplitByTime(column="text", valid_from="0800", test_from="0900"),
        SplitByColumn(column="part"),
        SplitByColumn(column="number", train=list(range(80)), valid=list(range(80, 90)), test=list(range(90, 100))),
    ],
    ids=["number", "moment", "text", "column", "numbers-of-a-column"],
)
@pytest.mark.parametrize("kind", ["parquet", "frame"])
def test_only_units_that_may_hold_rows_of_a_part_are_read(tmp_path, monkeypatch, split, kind):
    pq.write_table(ROWS, tmp_path / "a.parquet", row_group_size=50)
    monkeypatch.setattr("easyrec.data.sources.frame.UNIT_ROWS", 50)
    source = Parquet(path=str(tmp_path)).open() if kind == "parquet" else FrameSource(ROWS)
    generator = FeatureGenerator.load({"features": [{"type": "id", "name": "x", "num_buckets": 1000}]})
    seen, units = [], []
    for part in PARTS:
        predicate = part_of(split, part, source.columns[split.column])
        units += [unit.index for unit in predicate.units(source)]
        loader = Loader(source, generator, Demand({}, predicate=predicate), batch_size=100)
        seen += [i for batch in loader for i in batch.sparse["x"].values.tolist()]
    assert seen == list(range(1000))
    assert units == list(range(20))


def test_negatives_stay_at_their_rate_and_by_their_identity():
    rows = np.arange(100_000)
    kept = keep_negatives(1, 0, 3, rows, 0.3)
    assert kept.mean() == pytest.approx(0.3, abs=0.01)
    assert (keep_negatives(1, 0, 3, rows[500:900], 0.3) == kept[500:900]).all()
    for other in ((2, 0, 3), (1, 1, 3), (1, 0, 4)):
        assert (keep_negatives(*other, rows, 0.3) == kept).mean() == pytest.approx(0.58, abs=0.01)


def test_the_logit_shift_undoes_the_sampling():
    p, rate = 0.03, 0.1
    sampled = p / (p + (1 - p) * rate)
    logit = np.log(sampled / (1 - sampled)) + NegativeSampling(keep_rate=rate).logit_shift
    assert 1 / (1 + np.exp(-logit)) == pytest.approx(p)
