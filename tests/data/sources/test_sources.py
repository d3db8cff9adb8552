"""The contract of the family `easyrec.data.sources`, over every member."""

import gzip
import json
import sqlite3
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.config.data import Shuffle
from easyrec.data import Demand, Loader
from easyrec.data.sources import SourceConfig
from easyrec.data.sources.frame import FrameSource
from easyrec.errors import ConfigError
from feature_generator import FeatureGenerator
from feature_generator.config import member, members

PACKAGE = "easyrec.data.sources"

ROWS = 1000
TABLE = pa.table(
    {
        "id": pa.array(range(ROWS), pa.int64()),
        "text": pa.array([None if i % 7 == 0 else f"t{i % 13}" for i in range(ROWS)]),
        "number": pa.array([i / 4 for i in range(ROWS)], pa.float64()),
    }
)


def open_parquet(folder):
    for part in range(3):
        rows = TABLE.slice(part * 400, 400)
        pq.write_table(rows, folder / f"part-{part}.parquet", row_group_size=150)
    return member(PACKAGE, "parquet").Config(path=str(folder)).open()


def open_csv(folder):
    lines = [f"{r['id']},{r['text'] or ''},{r['number']}" for r in TABLE.to_pylist()]
    (folder / "a.csv").write_text("id,text,number\n" + "\n".join(lines[:600]) + "\n")
    with gzip.open(folder / "b.csv.gz", "wt") as file:
        file.write("id,text,number\r\n" + "\r\n".join(lines[600:]))
    return member(PACKAGE, "csv").Config(path=str(folder)).open()


def open_jsonl(folder):
    lines = [json.dumps(row) + "\n" for row in TABLE.to_pylist()]
    (folder / "a.jsonl").write_text("".join(lines[:600]))
    with gzip.open(folder / "b.jsonl.gz", "wt") as file:
        file.write("".join(lines[600:]).rstrip())
    return member(PACKAGE, "jsonl").Config(path=str(folder)).open()


def open_sql(folder):
    with sqlite3.connect(folder / "rows.db") as database:
        database.execute("CREATE TABLE rows (id INTEGER, text TEXT, number REAL)")
        database.executemany("INSERT INTO rows VALUES (?, ?, ?)", [tuple(r.values()) for r in TABLE.to_pylist()[::-1]])
    database.close()
    return (
        member(PACKAGE, "sql")
        .Config(uri=f"sqlite:///{folder}/rows.db", table="rows", order_by="id", unit_rows=150)
        .open()
    )


def open_kafka(broker, folder):
    topic = broker.topic(2)
    for partition in range(2):
        broker.send(topic, TABLE.to_pylist()[partition::2], partition)
    return member(PACKAGE, "kafka").Config(brokers=broker.address, topic=topic, unit_rows=150).open()


def open_delta(folder):
    deltalake = pytest.importorskip("deltalake", reason="needs the extra 'delta'")
    properties = deltalake.WriterProperties(max_row_group_size=150)
    for first in (0, 600):
        rows = TABLE.slice(first, 600)
        deltalake.write_deltalake(folder / "rows", rows, mode="append", writer_properties=properties)
    return member(PACKAGE, "delta").Config(path=str(folder / "rows")).open()


def open_iceberg(folder):
    pytest.importorskip("pyiceberg", reason="needs the extra 'iceberg'")
    from pyiceberg.catalog import load_catalog

    properties = {"type": "sql", "uri": f"sqlite:///{folder}/catalog.db", "warehouse": f"file://{folder}"}
    catalog = load_catalog("default", **properties)
    catalog.create_namespace("shop")
    table = catalog.create_table("shop.rows", schema=TABLE.schema, properties={"write.parquet.row-group-limit": "150"})
    table.append(TABLE)
    catalog.close()
    return member(PACKAGE, "iceberg").Config(table="shop.rows", properties=properties).open()


def open_maxcompute(server, folder):
    columns = {"id": "bigint", "text": "string", "number": "double"}
    server.table("rows", columns, {"dt=1": TABLE.slice(0, 600), "dt=2": TABLE.slice(600)}, {"dt": "string"})
    return member(PACKAGE, "maxcompute").Config(**server.settings, table="rows", unit_rows=150).open()


def open_hive(metastore, folder):
    metastore.table("rows", {"id": "bigint", "text": "string", "number": "double"}, folder, {"dt": "string"})
    for part in range(2):
        path = metastore.partition("rows", [f"{part}"])
        pq.write_table(TABLE.slice(part * 600, 600), path / "000000_0", row_group_size=150)
    return member(PACKAGE, "hive").Config(metastore=metastore.url, table="default.rows").open()


OPEN = {
    "parquet": open_parquet,
    "csv": open_csv,
    "jsonl": open_jsonl,
    "sql": open_sql,
    "frame": lambda folder: FrameSource(TABLE),
    "delta": open_delta,
    "iceberg": open_iceberg,
    "synthetic": lambda folder: member(PACKAGE, "synthetic").Config(rows=ROWS).open(),
}

SERVED = {"kafka": open_kafka, "maxcompute": open_maxcompute, "hive": open_hive}
SERVERS = {"hive": "metastore"}
"""Fixtures of servers that are not called like the source."""


@pytest.fixture(params=members(PACKAGE))
def source(request, tmp_path, monkeypatch):
    monkeypatch.setattr("easyrec.data.sources.csv.UNIT_BYTES", 1000)
    monkeypatch.setattr("easyrec.data.sources.jsonl.UNIT_BYTES", 1000)
    monkeypatch.setattr("easyrec.data.sources.frame.UNIT_ROWS", 256)
    if request.param in SERVED:
        source = SERVED[request.param](request.getfixturevalue(SERVERS.get(request.param, request.param)), tmp_path)
    else:
        source = OPEN[request.param](tmp_path)
    yield source
    source.close()


def rows_of(source, unit, columns, start_row=0):
    return [row for batch in source.read(unit, columns, start_row) for row in batch.to_pylist()]


def some_columns(source):
    return list(source.columns)[:3]


@pytest.mark.parametrize("name", members(PACKAGE))
def test_every_member_has_a_config_of_its_type(name):
    config = member(PACKAGE, name).Config
    assert issubclass(config, SourceConfig)
    assert config.model_fields["type"].default == name


def test_units_are_numbered_and_know_their_rows(source):
    units = source.units()
    assert [unit.index for unit in units] == list(range(len(units)))
    assert len(units) > 1
    for unit in units:
        read = rows_of(source, unit, some_columns(source))
        assert unit.rows in (None, len(read))
        assert unit.description
    assert source.units() == units


def test_all_units_together_hold_all_rows_in_order(source):
    column = next(iter(source.columns))
    values = [row[column] for unit in source.units() for row in rows_of(source, unit, [column])]
    assert len(values) == ROWS
    if column == "id":
        # Of a topic each partition has an order, and each holds every second row.
        halves = isinstance(source, member(PACKAGE, "kafka").KafkaSource)
        expected = [*range(0, ROWS, 2), *range(1, ROWS, 2)] if halves else list(range(ROWS))
        assert (sorted(values, key=lambda value: value % 2) if halves else values) == expected


def test_batches_hold_the_columns_asked_for_in_that_order_and_in_their_types(source):
    columns = some_columns(source)[::-1]
    for unit in source.units():
        for batch in source.read(unit, columns):
            assert batch.schema.names == columns
            assert batch.schema.types == [source.columns[name] for name in columns]


def test_reading_resumes_at_row_k(source):
    columns = some_columns(source)
    unit = max(source.units(), key=lambda u: len(rows_of(source, u, columns)))
    whole = rows_of(source, unit, columns)
    for k in (0, 1, len(whole) // 2, len(whole) - 1, len(whole)):
        assert rows_of(source, unit, columns, k) == whole[k:]


def test_reading_twice_gives_the_same_rows(source):
    columns = some_columns(source)
    for unit in source.units()[:2]:
        assert rows_of(source, unit, columns) == rows_of(source, unit, columns)


@pytest.mark.parametrize("shuffle", [None, Shuffle(buffer_rows=300)], ids=["in-order", "shuffled"])
def test_shards_of_a_loader_are_disjoint_and_complete(source, shuffle):
    columns = some_columns(source)
    generator = FeatureGenerator.load({"features": [{"type": "id", "name": columns[0], "hash_bucket_size": 9}]})
    demand = Demand({}, reserved=columns)
    seen = Counter()
    for shard in range(2):
        loader = Loader(source, generator, demand, batch_size=64, shuffle=shuffle, shard=(shard, 2))
        rows = [tuple(row.values()) for batch in loader for row in batch.reserved.to_pylist()]
        assert rows
        seen.update(rows)
    assert seen == Counter(tuple(row.values()) for u in source.units() for row in rows_of(source, u, columns))


def test_an_absent_column_is_named_with_the_nearest_one(source):
    known = next(iter(source.columns))
    with pytest.raises(ConfigError, match=f"no column '{known}x'; did you mean '{known}'"):
        source.require([known + "x"])


def test_rows_are_located_in_ascending_places(source):
    unit = source.units()[-1]
    rows_of(source, unit, some_columns(source))
    first, second = source.locate(unit, 0), source.locate(unit, 1)
    assert first.file
    if first.row is None and first.line is None:  # the place is a name of its own
        assert first.file != second.file
    else:
        assert (second.line or second.row) - (first.line or first.row) == 1
