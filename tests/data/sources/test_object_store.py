"""Sources of files over S3: a server that speaks its protocol, on this machine."""

import json

import pyarrow as pa
import pytest

pytest.importorskip("s3fs", reason="needs s3fs")
pytest.importorskip("moto.server", reason="needs moto[s3], flask and flask-cors")


from easyrec.data.sources import delta, iceberg, jsonl
from easyrec.errors import DataError

ROWS = [{"id": i, "kv": {f"k{i % 3}": i / 4}} for i in range(200)]


@pytest.fixture(scope="module")
def options(s3_address):
    """Options of a file system with the bucket `logs`, and rows in two files."""
    import s3fs

    found = {"key": "testing", "secret": "testing", "client_kwargs": {"endpoint_url": s3_address}}
    system = s3fs.S3FileSystem(**found)
    system.mkdir("logs")
    for name, part in (("a", ROWS[:120]), ("b", ROWS[120:])):
        system.pipe(f"logs/day/{name}.jsonl", "".join(json.dumps(row) + "\n" for row in part).encode())
    return found


@pytest.mark.parametrize(
    "path", ["s3://logs/day", "s3://logs/day/*.jsonl", ["s3://logs/day/a.jsonl", "s3://logs/day/b.jsonl"]]
)
def test_json_lines_are_read_in_ranges_from_an_object_store(options, path, monkeypatch):
    monkeypatch.setattr(jsonl, "UNIT_BYTES", 700)
    source = jsonl.Config(path=path, storage_options=options).open()
    units = source.units()
    assert len(units) > 5
    assert jsonl.Config(path=path, storage_options=options).open().units() == units
    read = [row for unit in units for batch in source.read(unit, ["kv", "id"]) for row in batch.to_pylist()]
    assert read == [{"kv": list(row["kv"].items()), "id": row["id"]} for row in ROWS]


def test_a_bad_line_of_an_object_is_named(options):
    import s3fs

    s3fs.S3FileSystem(**options).pipe("logs/bad.jsonl", b'{"id": 1}\n{"id": "x"}\n')
    source = jsonl.Config(path="s3://logs/bad.jsonl", storage_options=options).open()
    with pytest.raises(DataError, match=r's3://logs/bad.jsonl, line 2, column \'id\': "x" is no int64'):
        list(source.read(source.units()[0], ["id"]))


@pytest.fixture(scope="module")
def table_options(options):
    """Options of the same store, as deltalake and pyiceberg take them."""
    endpoint = options["client_kwargs"]["endpoint_url"]
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "us-east-1"}
    delta = {**keys, "AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true"}
    iceberg = {"s3.access-key-id": "testing", "s3.secret-access-key": "testing", "s3.region": "us-east-1"}
    return {"delta": delta, "iceberg": {**iceberg, "s3.endpoint": endpoint}}


def read_all(source):
    return [row for unit in source.units() for batch in source.read(unit, ["text", "id"]) for row in batch.to_pylist()]


TABLE = pa.table({"id": range(100), "text": [f"t{i}" for i in range(100)], "day": ["a b", "c"] * 50})


def test_a_delta_table_is_read_from_an_object_store(table_options):
    deltalake = pytest.importorskip("deltalake", reason="needs the extra 'delta'")
    path, stored = "s3://logs/delta/log", table_options["delta"]
    deltalake.write_deltalake(path, TABLE, storage_options=stored, partition_by=["day"])
    source = delta.Config(path=path, storage_options=stored).open()
    pinned = source.pinned()
    deltalake.write_deltalake(path, TABLE, storage_options=stored, mode="append", partition_by=["day"])
    assert [row["id"] for row in read_all(source)] == [*range(0, 100, 2), *range(1, 100, 2)]
    other = delta.Config(path=path, storage_options=stored, where={"day": "a b"}).open()
    assert other.num_rows == 100
    other.pin(pinned)
    assert [row["id"] for row in read_all(other)] == list(range(0, 100, 2))
    deltalake.DeltaTable(path, storage_options=stored).delete("id < 5")
    deltalake.DeltaTable(path, storage_options=stored).vacuum(0, enforce_retention_duration=False, dry_run=False)
    with pytest.raises(DataError, match="belongs to version 0 of the table, but is there no more"):
        delta.Config(path=path, storage_options=stored, version=0).open()


def test_an_iceberg_table_is_read_from_an_object_store(table_options, tmp_path):
    pytest.importorskip("pyiceberg", reason="needs the extra 'iceberg'")
    from pyiceberg.catalog import load_catalog

    properties = {"type": "sql", "uri": f"sqlite:///{tmp_path}/catalog.db", **table_options["iceberg"]}
    catalog = load_catalog("default", **properties, warehouse="s3://logs/iceberg")
    catalog.create_namespace("shop")
    catalog.create_table("shop.log", schema=TABLE.schema).append(TABLE)
    catalog.close()
    assert [row["id"] for row in read_all(iceberg.Config(table="shop.log", properties=properties).open())] == [
        *range(100)
    ]
