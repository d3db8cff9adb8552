"""Tables of a Hive metastore: the real one, of the Hive inside of Spark."""

import datetime
import json
import os
import shutil
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.data.sources import hive as module
from easyrec.data.sources._metastore import Metastore
from easyrec.errors import ConfigError, DataError, MissingExtra

TEXT = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
DAYS = ["2026-01-01", "2026-01-02", "2026-01-03"]
COLUMNS = {
    "id": "bigint",
    "name": "string",
    "clicks": "array<struct<item:bigint,kind:varchar(5)>>",
    "price": "decimal(10,2)",
}


@pytest.fixture
def log(metastore, tmp_path):
    """A table of three days of two hours, in parquet: ids are 100 x the day's place + 10 x the hour and on."""
    metastore.table("log", COLUMNS, tmp_path / "log", {"dt": "date", "hour": "int"})
    for place, day in enumerate(DAYS):
        for hour in (3, 11):
            write(metastore.partition("log", [day, str(hour)]), 100 * place + 10 * (hour == 11))
    return metastore


def write(folder, first, count=5):
    ids = list(range(first, first + count))
    # As Spark writes them: names in the user's case, and narrower numbers from before the table was altered.
    rows = pa.table({"ID": pa.array(ids, pa.int32()), "Name": [f"n{i}" for i in ids]})
    pq.write_table(rows, folder / "part-00000", row_group_size=3)
    (folder / "_SUCCESS").write_text("")
    (folder / ".hive-staging" / "0").mkdir(parents=True)
    (folder / ".hive-staging" / "0" / "part-00000").write_text("what is being written")


def opened(served, table="default.log", **settings):
    return module.Config(**{"metastore": served.url, "table": table} | settings).open()


def read(source, columns=("id",)):
    found = [row for u in source.units() for b in source.read(u, list(columns)) for row in b.to_pylist()]
    return [row["id"] for row in found] if columns == ("id",) else found


IDS = [
    100 * place + 10 * late + i for place in range(3) for late in (1, 0) for i in range(5)
]  # hour=11 is before hour=3


def test_the_metastore_tells_columns_partitions_and_folders(log):
    source = opened(log)
    clicks = pa.list_(pa.struct([("item", pa.int64()), ("kind", pa.string())]))
    kinds = {"id": pa.int64(), "name": pa.string(), "clicks": clicks, "price": pa.decimal128(10, 2)}
    assert source.columns == kinds | {"dt": pa.date32(), "hour": pa.int32()}
    source.require(list(source.columns))
    assert read(source) == IDS
    found = read(source, ("hour", "clicks", "name"))
    assert found[0] == {"hour": 11, "clicks": None, "name": "n10"}
    assert [unit.rows for unit in source.units()] == [3, 2] * 6


def test_a_partition_may_lie_anywhere(log, tmp_path):
    elsewhere = log.partition("log", ["2026-01-04", "0"], tmp_path / "another folder")
    write(elsewhere, 900)
    assert read(opened(log, where={"dt": {"from": "2026-01-04"}})) == [900, 901, 902, 903, 904]


@pytest.mark.parametrize(
    ("where", "places"),
    [
        ({"dt": "2026-01-02"}, [(1, 1), (1, 0)]),
        ({"dt": {"last": 2, "until": "2026-01-02"}, "hour": 3}, [(0, 0), (1, 0)]),
        ({"hour": {"from": 4}}, [(0, 1), (1, 1), (2, 1)]),
    ],
)
def test_only_wanted_partitions_are_asked_for_and_read(log, tmp_path, where, places):
    for path in (tmp_path / "log").glob("*/*/part-00000"):
        day, hour = DAYS.index(path.parent.parent.name.removeprefix("dt=")), path.parent.name
        if (day, int(hour == "hour=11")) not in places:
            path.write_text("not opened")
    assert read(opened(log, where=where)) == [100 * day + 10 * late + i for day, late in places for i in range(5)]


def test_a_later_opening_has_the_same_partitions(log, tmp_path):
    source = opened(log, where={"dt": {"from": "2026-01-02"}})
    pinned = json.loads(json.dumps(source.pinned()))
    write(log.partition("log", ["2026-01-04", "3"]), 300)
    other = opened(log, where={"dt": {"from": "2026-01-02"}})
    assert other.num_rows == source.num_rows + 5
    other.pin(pinned)
    assert other.units() == source.units()
    assert read(other) == IDS[10:]
    third = opened(log)
    shutil.rmtree(tmp_path / "log")
    with pytest.raises(DataError, match="cannot resume: has no files in the partitions that are wanted"):
        third.pin(pinned)


def test_text_files_are_read_as_the_table_says(metastore, tmp_path):
    columns = {"id": "int", "price": "decimal(8,3)", "name": "string", "ok": "boolean", "tags": "array<string>"}
    metastore.table("words", columns, tmp_path / "words", serde=TEXT, told={"field.delim": "|"})
    (tmp_path / "words" / "000000_0").write_text('1|2.5|"a|true|x\x02y\n2|\\N||false|z\n')
    source = opened(metastore, "default.words")
    assert [str(kind) for kind in source.columns.values()] == ["int32", "double", "string", "bool", "string"]
    assert read(source, ("id", "price", "name", "ok", "tags")) == [
        {"id": 1, "price": 2.5, "name": '"a', "ok": True, "tags": "x\x02y"},
        {"id": 2, "price": None, "name": "", "ok": False, "tags": "z"},
    ]
    (tmp_path / "words" / "000000_0").write_text("1|2.5|a|true|x\n2|no number|b|true|\n")
    with pytest.raises(DataError, match=r"words/000000_0, line 2, column 'price'"):
        read(opened(metastore, "default.words"), ("price",))
    config = module.Config(metastore=metastore.url, table="default.words")
    assert len(read(config.open("skip"), ("price",))) == 1


def test_the_separator_of_text_files_may_be_told_by_its_code(metastore, tmp_path):
    for told, sign in (({"serialization.format": "1"}, "\x01"), ({"field.delim": "9"}, "\t"), ({}, "\x01")):
        metastore.table("plain", {"id": "int", "name": "string"}, tmp_path / "plain", serde=TEXT, told=told)
        (tmp_path / "plain" / "000000_0").write_text(f"1{sign}a,b\n")
        assert read(opened(metastore, "default.plain"), ("id", "name")) == [{"id": 1, "name": "a,b"}]


def test_starts_of_locations_are_replaced(log, tmp_path, webhdfs):
    url, folder = webhdfs
    shutil.copytree(tmp_path / "log", folder / "log")
    settings = {"locations": {f"file:{tmp_path}": url, str(tmp_path): url}, "storage_options": {"user": "app"}}
    source = opened(log, where={"dt": DAYS[1]}, **settings)
    shutil.rmtree(tmp_path / "log")
    assert read(source) == IDS[10:20]
    assert source.units()[0].file.startswith("webhdfs://")


SPARK = """
import sys
from pyspark.sql import SparkSession

settings = {"spark.ui.enabled": "false", "spark.sql.warehouse.dir": sys.argv[2]}
builder = SparkSession.builder.master("local[1]").config("spark.hadoop.hive.metastore.uris", sys.argv[1])
for name, value in settings.items():
    builder = builder.config(name, value)
spark = builder.enableHiveSupport().getOrCreate()
for order in sys.stdin.read().split(";"):
    spark.sql(order)
spark.stop()
"""

ORDERS = """
create table made (Id bigint, at timestamp, tags array<string>) partitioned by (dt string) stored as parquet;
insert into made partition (dt='20260101') select id, timestamp'2026-01-01 10:00:00', array('a', 'b') from range(3);
insert into made partition (dt='2026 01:02') select id + 100, null, null from range(3);
create table native (Id bigint, Price double, dt string) using parquet partitioned by (dt);
insert into native select id, id / 2, '1' from range(3);
create table texts (id int, name string) row format delimited fields terminated by ',';
insert into texts values (1, 'a'), (2, null)
"""


@pytest.mark.slow
def test_tables_that_spark_has_made_are_read(metastore, tmp_path):
    pytest.importorskip("pyspark", reason="needs the extra 'spark'")
    command = [sys.executable, "-c", SPARK, metastore.url, str(tmp_path / "warehouse")]
    environment = {**os.environ, "TZ": "UTC"}
    done = subprocess.run(
        command, input=ORDERS, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    at = datetime.datetime(2026, 1, 1, 10)
    found = read(opened(metastore, "default.made"), ("id", "at", "tags", "dt"))
    assert found[0] == {"id": 100, "at": None, "tags": None, "dt": "2026 01:02"}
    assert found[3] == {"id": 0, "at": at, "tags": ["a", "b"], "dt": "20260101"}
    assert read(opened(metastore, "default.native"), ("id", "price", "dt"))[1] == {"id": 1, "price": 0.5, "dt": "1"}
    assert read(opened(metastore, "default.texts"), ("id", "name")) == [{"id": 1, "name": "a"}, {"id": 2, "name": None}]


def test_metastores_are_tried_in_turn(log):
    assert len(read(opened(log, metastore=f"thrift://127.0.0.1:9, {log.url}"))) == 30


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"table": "default.nothing"}, DataError, r"default\.nothing: .*table not found"),
        ({"table": "log"}, ValueError, "must be database.table, but is 'log'"),
        (
            {"metastore": "thrift://127.0.0.1:9"},
            DataError,
            r"no metastore answers: thrift://127\.0\.0\.1:9: Could not connect",
        ),
        ({"metastore": "127.0.0.1:9083"}, ValueError, "must be thrift://host:port, but is '127"),
        ({"where": {"day": "1"}}, ConfigError, "there is no partition 'day'\n *known: dt, hour"),
        ({"where": {"dt": "monday"}}, ConfigError, "'dt': 'monday' is no date"),
        ({"where": {"hour": 7}}, DataError, "there are dt=2026-01-01/hour=11 to dt=2026-01-03/hour=3"),
    ],
)
def test_what_does_not_fit_is_told(log, settings, error, message):
    with pytest.raises(error, match=message):
        opened(log, **settings)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"kind": "VIRTUAL_VIEW"}, "is a view, which has no files"),
        (
            {"table_type": "ICEBERG"},
            "a table of Iceberg, whose files alone are not its rows: read it by `type: iceberg`",
        ),
        (
            {"serde": "org.apache.hadoop.hive.ql.io.orc.OrcSerde"},
            "its files are read by OrcSerde; here parquet and text",
        ),
        ({"serde": TEXT, "skip.header.line.count": "1"}, "its text files have header lines"),
        ({"serde": TEXT, "told": {"escape.delim": "\\"}}, "its text files escape signs"),
        (
            {"columns": {"a": "uniontype<int,string>"}},
            "column 'a': has type uniontype<int,string>, which cannot be read",
        ),
        ({}, "has no files in the partitions that are wanted"),
    ],
)
def test_tables_that_cannot_be_read_are_told(metastore, tmp_path, made, message):
    metastore.table("strange", folder=tmp_path / "strange", **{"columns": {"id": "int"}} | made)
    if made:
        (tmp_path / "strange").mkdir(exist_ok=True)
        (tmp_path / "strange" / "000000_0").write_text("1\n")
    with pytest.raises(DataError, match=message):
        opened(metastore, "default.strange")


def test_a_transactional_table_is_told():
    """Hive's own metastore makes none by its client alone."""
    with pytest.raises(DataError, match="is a transactional table"):
        Metastore("thrift://127.0.0.1:9", "a.b", 1.0)._check("MANAGED_TABLE", {"transactional": "true"})


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymetastore", None)
    monkeypatch.setitem(sys.modules, "pymetastore.hive_metastore", None)
    with pytest.raises(MissingExtra, match=r"pip install 'easyrec-torch\[hive\]'"):
        module.Config(metastore="thrift://127.0.0.1:9", table="a.b").open()
