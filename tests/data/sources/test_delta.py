import base64
import datetime
import json
import os
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.data.sources import delta as module
from easyrec.errors import ConfigError, DataError, MissingExtra

deltalake = pytest.importorskip("deltalake", reason="needs the extra 'delta'")

DAYS = [datetime.date(2026, 1, day) for day in (1, 2, 3)]


def day(place, first=0, count=10, **columns):
    ids = [100 * place + i for i in range(first, first + count)]
    return pa.table({"id": pa.array(ids, pa.int64()), "day": pa.array([DAYS[place]] * count, pa.date32()), **columns})


def write(path, table, **options):
    properties = deltalake.WriterProperties(max_row_group_size=4)
    deltalake.write_deltalake(path, table, mode="append", writer_properties=properties, **options)


@pytest.fixture
def table(tmp_path):
    """A table of three days, one a version; ids are 100 x the day's place and on."""
    path = str(tmp_path / "log")
    for place in range(3):
        write(path, day(place), partition_by=["day"])
    return path


def opened(path, **settings):
    return module.Config(path=path, **settings).open()


def read(source, columns=("id",)):
    found = [row for u in source.units() for b in source.read(u, list(columns)) for row in b.to_pylist()]
    return [row["id"] for row in found] if columns == ("id",) else found


IDS = [100 * place + i for place in range(3) for i in range(10)]


def test_the_newest_version_is_read_partition_by_partition(table):
    source = opened(table)
    assert source.columns == {"id": pa.int64(), "day": pa.date32()}
    assert [unit.rows for unit in source.units()] == [4, 4, 2] * 3
    assert read(source) == IDS
    assert read(source, ("day", "id"))[10] == {"day": DAYS[1], "id": 100}
    assert [value.as_py() for value in source.bounds(source.units()[3], "day")] == [DAYS[1]] * 2
    assert [value.as_py() for value in source.bounds(source.units()[3], "id")] == [100, 103]


def test_an_older_version_is_read_by_its_number_or_a_moment(table):
    assert read(opened(table, version=0)) == IDS[:10]
    logs = sorted(Path(table, "_delta_log").glob("*.json"))
    begun = max(log.stat().st_mtime for log in logs)
    for version, log in enumerate(logs):  # what tells when a version was made, and not what is written in it
        os.utime(log, (begun + 60 * version,) * 2)
    moment = datetime.datetime.fromtimestamp(begun + 90, datetime.UTC)
    source = opened(table, timestamp=moment.isoformat())
    assert read(source) == IDS[:20]
    assert source.pinned()["version"] == 1
    naive = moment.replace(tzinfo=None).isoformat()  # UTC
    assert opened(table, timestamp=naive).pinned()["version"] == 1


@pytest.mark.parametrize(
    ("where", "places"),
    [
        ({"day": "2026-01-02"}, [1]),
        ({"day": {"from": "2026-01-02"}}, [1, 2]),
        ({"day": {"last": 2, "until": "2026-01-02"}}, [0, 1]),
    ],
)
def test_only_wanted_partitions_are_read(table, where, places):
    source = opened(table, where=where)
    assert read(source) == [100 * place + i for place in places for i in range(10)]


def test_files_of_other_partitions_are_not_opened(table, tmp_path):
    shutil.rmtree(tmp_path / "log" / "day=2026-01-01")
    assert read(opened(table, where={"day": {"from": "2026-01-02"}})) == IDS[10:]


def test_columns_that_came_later_are_null_in_older_files_and_narrow_ones_are_widened(table):
    write(table, day(2, 10, 5, price=[1.5] * 5, tags=[[1, 2]] * 5), schema_mode="merge")
    source = opened(table)
    source.require(["price", "tags"])
    found = read(source, ("price", "id", "tags"))
    assert [row["price"] for row in found] == [None] * 30 + [1.5] * 5
    assert found[-1] == {"price": 1.5, "id": 214, "tags": [1, 2]}
    assert source.bounds(source.units()[0], "price") is None
    assert read(source, ("price",))[:2] == [{"price": None}] * 2  # a file that has none of the columns


def test_values_of_partitions_may_be_of_any_kind(tmp_path):
    path = str(tmp_path / "strange")
    kinds = {"text": ["a b/ü%=", None], "at": [datetime.datetime(2026, 1, 1, 10, 30), None], "n": [3, None]}
    write(path, pa.table({"id": [0, 1], **kinds}), partition_by=["text", "at", "n"])
    source = opened(path)
    found = sorted(read(source, ("id", "text", "n", "at")), key=lambda row: row["id"])
    assert [row["text"] for row in found] == ["a b/ü%=", None]
    assert [row["n"] for row in found] == [3, None]
    assert found[0]["at"].replace(tzinfo=None) == kinds["at"][0]
    assert [row["id"] for row in read(opened(path, where={"n": 3}), ("id", "text"))] == [0]


def test_a_later_opening_is_pinned_to_the_version(table):
    source = opened(table)
    pinned = json.loads(json.dumps(source.pinned()))
    write(table, day(2, 10, 7, price=[1.5] * 7), schema_mode="merge")
    deltalake.DeltaTable(table).delete("id < 5")
    deltalake.DeltaTable(table).optimize.compact()
    other = opened(table)
    assert other.num_rows == 32
    assert other.identity() != source.identity()
    other.pin(pinned)
    assert other.pinned() == pinned
    assert other.units() == source.units()
    assert other.columns == source.columns
    assert read(other) == IDS
    assert other.identity() == source.identity()


def test_a_version_whose_files_are_gone_is_told(table, tmp_path):
    source = opened(table)
    deltalake.DeltaTable(table).delete("id < 5")
    gone = deltalake.DeltaTable(table).vacuum(0, enforce_retention_duration=False, dry_run=False)
    assert gone
    with pytest.raises(DataError, match=r"cannot resume: belongs to version 2 of the table, .*VACUUM"):
        opened(table).pin(source.pinned())
    shutil.rmtree(table)
    write(table, day(0))
    with pytest.raises(DataError, match=r"cannot resume: another table has been written to its place|version 2 cannot"):
        opened(table).pin(source.pinned())


def test_another_table_is_not_taken_for_the_old_one(table):
    pinned = opened(table, version=0).pinned()
    shutil.rmtree(table)
    write(table, day(0))
    with pytest.raises(DataError, match="cannot resume: another table has been written to its place"):
        opened(table).pin(pinned)


# ------------------------------------------------------------------------------------- rows that are deleted


def deletion_vector(rows):
    """The rows as the format writes them into its log: base 85 of a bitmap of 64 bits."""
    pyroaring = pytest.importorskip("pyroaring", reason="needs pyroaring")
    bitmap = pyroaring.BitMap(rows).serialize()
    data = (1681511377).to_bytes(4, "little") + (1).to_bytes(8, "little") + (0).to_bytes(4, "little") + bitmap
    padded = data + bytes(-len(data) % 4)
    # Z85 orders its digits otherwise than Python's base 85.
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
    z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
    text = base64.b85encode(padded).decode().translate(str.maketrans(digits, z85))
    return {"storageType": "i", "pathOrInlineDv": text, "sizeInBytes": len(data), "cardinality": len(rows)}


def log_of(path, version):
    return Path(path) / "_delta_log" / f"{version:020}.json"


def with_deleted(path, place, rows):
    """Let the next version of a table have some rows of a day deleted by a vector, as Spark does."""
    listed = pa.table(deltalake.DeltaTable(path).get_add_actions()).to_pylist()
    file = next(entry for entry in listed if entry["partition"]["day"] == DAYS[place])
    features = {"readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"]}
    add = {
        "path": file["path"],
        "partitionValues": {"day": str(DAYS[place])},
        "size": file["size_bytes"],
        "modificationTime": file["modification_time"],
        "dataChange": True,
        "stats": json.dumps({"numRecords": 10}),
        "deletionVector": deletion_vector(rows),
    }
    actions = [
        {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, **features}},
        {"remove": {"path": file["path"], "deletionTimestamp": 1, "dataChange": True}},
        {"add": add},
    ]
    log = log_of(path, deltalake.DeltaTable(path).version() + 1)
    log.write_text("\n".join(json.dumps(action) for action in actions))


def test_rows_that_a_deletion_vector_names_are_left_out(table):
    deleted = [0, 4, 5, 6, 7, 9]
    with_deleted(table, 1, deleted)
    source = opened(table)
    kept = [100 + i for i in range(10) if i not in deleted]
    assert read(source) == IDS[:10] + kept + IDS[20:]
    units = source.units()[3:6]
    assert [unit.rows for unit in units] == [3, 0, 1]
    for unit in units:  # a position counts rows that are still there
        whole = [row["id"] for b in source.read(unit, ["id"]) for row in b.to_pylist()]
        assert len(whole) == unit.rows
        for k in range(len(whole) + 1):
            assert [row["id"] for b in source.read(unit, ["id"], k) for row in b.to_pylist()] == whole[k:]
    assert source.locate(units[0], 0).row == 1
    assert source.locate(units[2], 0).row == 8
    assert read(opened(table, version=2)) == IDS


# ------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"version": 9}, DataError, "version 9 cannot be read"),
        ({"timestamp": "2020-01-01"}, DataError, "there is no version as of 2020-01-01: the first one is of 20"),
        ({"timestamp": "yesterday"}, ValueError, "must be a moment such as 2026-05-01T12:00, but is 'yesterday'"),
        ({"version": 1, "timestamp": "2026-01-01"}, ValueError, "give 'version' or 'timestamp', not both"),
        ({"where": {"days": "2026-01-01"}}, ConfigError, "no partition 'days'; did you mean 'day'"),
        ({"where": {"day": "monday"}}, ConfigError, "'day': 'monday' is no date"),
        ({"where": {"day": "2030-01-01"}}, DataError, "there are day=2026-01-01 to day=2026-01-03"),
    ],
)
def test_what_does_not_fit_is_told(table, settings, error, message):
    with pytest.raises(error, match=message):
        opened(table, **settings)


def test_a_folder_that_is_no_table_is_told(tmp_path):
    with pytest.raises(DataError, match=f"{tmp_path}: is no Delta table: it has no log"):
        opened(str(tmp_path))
    with pytest.raises(DataError, match="nothing"):
        opened(str(tmp_path / "nothing"))


def test_a_table_that_asks_too_much_of_its_readers_is_told(table):
    actions = [json.loads(line) for line in log_of(table, 0).read_text().splitlines()]
    metadata = next(action["metaData"] for action in actions if "metaData" in action)
    schema = json.loads(metadata["schemaString"])
    for number, field in enumerate(schema["fields"], 1):
        field["metadata"] = {"delta.columnMapping.id": number, "delta.columnMapping.physicalName": field["name"]}
    metadata["schemaString"] = json.dumps(schema)
    metadata["configuration"] = {"delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "2"}
    protocol = {"protocol": {"minReaderVersion": 2, "minWriterVersion": 5}}
    log_of(table, 3).write_text(f"{json.dumps(protocol)}\n{json.dumps({'metaData': metadata})}")
    with pytest.raises(DataError, match="has columnMapping, which cannot be read here"):
        opened(table)


def test_a_file_that_holds_another_type_is_told_before_it_is_read(table, tmp_path):
    (file,) = (tmp_path / "log" / "day=2026-01-02").iterdir()
    pq.write_table(pa.table({"id": ["a", "b"]}), file)
    source = opened(table)
    with pytest.raises(DataError, match=r"day=2026-01-02/.*, column 'id': is string here") as caught:
        source.require(["id"])
    assert "int64" in str(caught.value)


def test_the_extra_is_named_where_it_is_missing(table, monkeypatch):
    monkeypatch.setitem(sys.modules, "deltalake", None)
    with pytest.raises(MissingExtra, match=r"pip install 'easyrec-torch\[delta\]'"):
        opened(table)


def test_options_of_an_object_store_are_not_shown():
    options = {
        "AWS_SECRET_ACCESS_KEY": "a-secret-key",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ALLOW_HTTP": True,
    }
    options |= {"AWS_ACCESS_KEY_ID": "an-access-id", "AWS_REGION": "us-east-1", "max_retries": 0, "timeout": "2s"}
    config = module.Config(path="s3://bucket/table", storage_options=options)
    assert "a-secret-key" not in repr(config)
    with pytest.raises(DataError, match="s3://bucket/table") as caught:
        config.open()
    assert "a-secret-key" not in str(caught.value)
