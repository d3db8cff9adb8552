"""Folders of partitions, under parquet, csv and jsonl alike."""

import datetime
import json

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem

from easyrec.data.feed import source_of
from easyrec.data.sources import csv, jsonl, parquet
from easyrec.errors import ConfigError, DataError
from easyrec.train.api import train

DAYS = ["20251230", "20251231", "20260101", "20260102", "20260103"]
TYPES = {"dt": "string", "hour": "int32"}


@pytest.fixture(params=["parquet", "csv", "jsonl"])
def folder(request, tmp_path):
    """Rows `id` of each day and hour: 100 x place of the day + hour."""
    for place, day in enumerate(DAYS):
        for hour in ("03", "11"):
            write(tmp_path / f"dt={day}" / f"hour={hour}", request.param, [100 * place + int(hour)])
    (tmp_path / "_SUCCESS").write_text("")
    return tmp_path


def write(where, kind, ids):
    where.mkdir(parents=True, exist_ok=True)
    table = pa.table({"id": pa.array(ids, pa.int64()), "other": [i / 2 for i in ids]})
    if kind == "parquet":
        pq.write_table(table, where / "part-0.parquet")
    elif kind == "csv":
        arrow_csv.write_csv(table, where / "part-0.csv")
    else:
        lines = [json.dumps(row) for row in table.to_pylist()]
        (where / "part-0.jsonl").write_text("\n".join(lines) + "\n")


def kind_of(folder):
    kinds = {".csv": csv, ".jsonl": jsonl, ".parquet": parquet}
    return next(kinds[path.suffix] for path in folder.rglob("part-0.*"))


def opened(folder, path=None, **settings):
    settings = {"partitions": TYPES} | settings
    return kind_of(folder).Config(path=str(folder) if path is None else path, **settings).open()


def read(source, columns=("id",)):
    rows = [row for u in source.units() for b in source.read(u, list(columns)) for row in b.to_pylist()]
    return [row["id"] for row in rows] if columns == ("id",) else rows


def test_folders_are_columns_of_their_types(folder):
    source = opened(folder)
    assert source.columns == {"id": pa.int64(), "other": pa.float64(), "dt": pa.string(), "hour": pa.int32()}
    rows = read(source, ("hour", "id", "dt"))
    assert [list(row) for row in rows] == [["hour", "id", "dt"]] * 10
    assert [row["id"] for row in rows] == [100 * place + hour for place in range(5) for hour in (3, 11)]
    assert all(DAYS[row["id"] // 100] == row["dt"] and row["id"] % 100 == row["hour"] for row in rows)
    assert read(source, ("dt",))[:3] == [{"dt": DAYS[0]}, {"dt": DAYS[0]}, {"dt": DAYS[1]}]
    for batch in source.read(source.units()[0], ["dt", "hour"]):
        assert batch.schema.types == [pa.string(), pa.int32()]
    source.require(["dt", "id"])
    with pytest.raises(ConfigError, match="no column 'hours'; did you mean 'hour'"):
        source.require(["hours"])
    assert [list(source.read(u, ["dt"], 1)) for u in source.units()] == [[]] * 10


@pytest.mark.parametrize(
    ("where", "days"),
    [
        ({"dt": "20260101"}, [2]),
        ({"dt": 20260101}, [2]),
        ({"dt": ["20251230", "20260103", "20270101"]}, [0, 4]),
        ({"dt": {"from": "20251231", "to": "20260101"}}, [1, 2]),
        ({"dt": {"from": "20260102"}}, [3, 4]),
        ({"dt": {"to": "20251230"}}, [0]),
        ({"dt": {"last": 3, "until": "20260102"}}, [1, 2, 3]),
        ({"dt": {"last": 1, "until": 20260103}}, [4]),
    ],
)
def test_only_wanted_partitions_are_read(folder, where, days):
    expected = [100 * day + hour for day in days for hour in (3, 11)]
    assert read(opened(folder, where=where)) == expected
    assert read(opened(folder, f"{folder}/dt=*/hour=*/part-*", where=where)) == expected


def test_filters_of_several_partitions_hold_together(folder):
    assert read(opened(folder, where={"dt": {"from": "20260102"}, "hour": 3})) == [303, 403]
    assert read(opened(folder, where={"hour": {"to": 5}})) == [3, 103, 203, 303, 403]


def test_folders_that_are_not_wanted_are_not_listed(folder, monkeypatch):
    listed = []
    ls = LocalFileSystem.ls

    def recorded(self, path, *arguments, **options):
        listed.append(path)
        return ls(self, path, *arguments, **options)

    monkeypatch.setattr(LocalFileSystem, "ls", recorded)
    opened(folder, where={"dt": "20260101", "hour": 3})
    assert any("dt=20260101/hour=03" in path for path in listed)
    assert not [path for path in listed if "dt=" in path and "dt=20260101" not in path]
    assert not [path for path in listed if "hour=11" in path]


def test_values_are_written_as_hive_writes_them(tmp_path):
    write(tmp_path / "at=2026-01-01 10%3A30%3A00" / "city=__HIVE_DEFAULT_PARTITION__", "parquet", [1])
    write(tmp_path / "at=2026-01-01 11%3A00%3A00" / "city=a%2Fb", "parquet", [2])
    types = {"at": "timestamp", "city": "string"}
    assert read(opened(tmp_path, partitions=types), ("at", "city")) == [
        {"at": datetime.datetime(2026, 1, 1, 10, 30), "city": None},
        {"at": datetime.datetime(2026, 1, 1, 11), "city": "a/b"},
    ]
    assert read(opened(tmp_path, partitions=types, where={"city": ["a/b"]})) == [2]
    assert read(opened(tmp_path, partitions=types, where={"at": {"to": "2026-01-01 10:45:00"}})) == [1]


def test_days_may_be_dates(tmp_path):
    for day in (1, 2, 3):
        write(tmp_path / f"day=2026-03-0{day}", "parquet", [day])
    window = {"day": {"last": 3, "until": "2026-03-02"}}
    assert read(opened(tmp_path, partitions={"day": "date"}, where=window)) == [1, 2]
    assert read(opened(tmp_path, partitions={"day": "date"}), ("day",))[0] == {"day": datetime.date(2026, 3, 1)}


def test_a_split_by_a_partition_reads_only_its_units(folder):
    source = opened(folder)
    low, high = source.bounds(source.units()[3], "dt")
    assert low.as_py() == high.as_py() == DAYS[1]
    assert source.bounds(source.units()[3], "hour")[0].as_py() == 11


def test_without_partitions_such_folders_are_mere_folders(folder):
    source = kind_of(folder).Config(path=str(folder)).open()
    assert list(source.columns) == ["id", "other"]
    assert len(read(source)) == 10


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (
            {"partitions": {"dt": "string"}},
            DataError,
            "folders of the partition 'hour', which 'partitions' does not name",
        ),
        ({"partitions": {"dt": "date", "hour": "int32"}}, DataError, "column 'dt': '20251230' is no date"),
        ({"partitions": TYPES | {"city": "string"}}, DataError, r"lies in no folder 'city=\.\.\.'"),
        (
            {"where": {"dt": "20280101"}},
            DataError,
            "no partition is as 'where' wants it; there are dt=20251230 to dt=20260103",
        ),
        ({"where": {"day": "20260101"}}, ValueError, "there is no partition 'day'\nknown: dt, hour"),
        ({"where": {"dt": {"last": 3, "until": "yesterday"}}}, ValueError, "'yesterday' is no day such as 20260131"),
        ({"where": {"hour": ["x"]}}, ValueError, "'hour': 'x' is no int32"),
        ({"where": {"dt": {}}}, ValueError, "give 'from', 'to' or both"),
        ({"partitions": {}, "where": {"dt": "1"}}, ValueError, "known: none; name them"),
    ],
)
def test_what_does_not_fit_is_told(folder, settings, error, message):
    with pytest.raises(error, match=message):
        opened(folder, **settings)


def test_a_run_learns_the_days_that_an_override_names(tmp_path):
    for day in DAYS:
        where = tmp_path / "log" / f"dt={day}"
        where.mkdir(parents=True)
        table = {"user_id": list(range(20)), "click": [i % 3 == 0 for i in range(20)]}
        pq.write_table(pa.table(table), where / "a.parquet")
    source = {"type": "parquet", "path": str(tmp_path / "log"), "partitions": {"dt": "string"}}
    config = {
        "name": "window",
        "data": {
            "train": source | {"where": {"dt": {"last": 3, "until": "20260101"}}},
            "valid": source | {"where": {"dt": "20260103"}},
            "labels": ["click"],
            "event_time": "dt",
        },
        "features": [
            {"type": "id", "name": "user_id", "num_buckets": 20, "embedding_dim": 4},
            {"type": "id", "name": "dt", "hash_bucket_size": 50, "embedding_dim": 4},
        ],
        "model": {"type": "deepfm", "hidden": [4]},
        "train": {"threads": 1},
    }
    run = train(config, run_dir=tmp_path / "run", overrides={"data.train.where.dt.until": "20260102"}, export=False)
    assert '"event_time": "20260102"' in (run.path / "metrics.jsonl").read_text()


def test_other_files_are_read_whole_whatever_the_config_reads_of_its_own(folder, tmp_path_factory):
    config = kind_of(folder).Config(path=str(folder), partitions=TYPES, where={"dt": "20260101", "hour": 3})

    def ids(path):
        return read(source_of(path, [None, config]).open())

    assert len(ids(str(folder))) == 10
    assert ids(str(folder / "dt=20251231")) == [103, 111]
    one = next((folder / "dt=20260103" / "hour=11").iterdir())
    assert ids(str(one)) == [411]
    alone = tmp_path_factory.mktemp("alone") / one.name
    alone.write_bytes(one.read_bytes())
    assert source_of(str(alone), [config]).partitions == {}
    assert ids(str(alone)) == ids(str(alone.parent)) == [411]
