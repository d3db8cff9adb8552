"""Where rows of views lie: folders by time, object stores, tables of Delta and Iceberg. All give the same training set."""

import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.errors import ConfigError, DataError, StoreError
from easyrec.store.definitions import load_store
from easyrec.store.offline import Wanted, parquet

pytest.importorskip("duckdb", reason="needs the extra 'store'")
from easyrec.store.build import build
from easyrec.store.duck import connection
from easyrec.store.point_in_time import training_set

START = 1_767_225_600  # 2026-01-01
DAY = 86_400


def rows(number=3000, zone="UTC"):
    rng = np.random.default_rng(1)
    times = pa.array((START + rng.integers(0, 4 * DAY, number)) * 1_000_000, pa.timestamp("us", zone))
    return pa.table({"user_id": rng.integers(0, 50, number), "ts": times, "value": np.arange(number)})


def spine(number=500):
    rng = np.random.default_rng(2)
    times = pa.array((START + 2 * DAY + rng.integers(0, DAY, number)) * 1_000_000, pa.timestamp("us", "UTC"))
    return pa.table({"user_id": rng.integers(0, 60, number), "event_time": times})


def project(source, **more):
    view = {"name": "u", "entity": "user", "event_time": "ts", "fields": [{"name": "value", "type": "int64"}], **more}
    return load_store(
        {
            "project": "p",
            "entities": [{"name": "user", "join_id": "user_id"}],
            "views": [{**view, "source": source}],
            "models": [{"name": "m", "features": [{"view": "u"}]}],
        }
    )


def values(source, **more):
    return training_set(project(source, **more), "m", spine()).table["value"].to_pylist()


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What a single file gives."""
    path = tmp_path_factory.mktemp("plain") / "rows.parquet"
    pq.write_table(rows(), path)
    found = values({"type": "parquet", "path": str(path)}, ttl="12h")
    assert 0 < sum(value is None for value in found) < len(found)
    return found


def in_folders(write, column="ds", pattern="%Y%m%d", zone=datetime.timezone.utc):
    """Write the rows by their time; `write(folder, table)`."""
    table = rows()
    names = np.array([when.astimezone(zone).strftime(pattern) for when in table["ts"].to_pylist()])
    for name in sorted(set(names)):
        write(f"{column}={name}", table.filter(pa.array(names == name)))


def local(root):
    def write(folder, table):
        (root / folder).mkdir(parents=True)
        pq.write_table(table, root / folder / "0.parquet")

    return write


@pytest.mark.parametrize("pattern", ["%Y%m%d", "%Y-%m-%d", "%Y%m%d%H", "%Y-%m"])
def test_folders_out_of_the_wanted_times_are_not_read(tmp_path, expected, pattern):
    in_folders(local(tmp_path), pattern=pattern)
    if pattern != "%Y-%m":
        for folder in (min(tmp_path.iterdir()), max(tmp_path.iterdir())):  # whoever opens them gets an error
            (folder / "0.parquet").write_bytes(b"no parquet file")
    source = {"type": "parquet", "path": str(tmp_path), "partition": {"column": "ds", "format": pattern}}
    if pattern == "%Y-%m":
        assert values(source, ttl="12h") == expected
        return
    with pytest.raises(DataError, match="cannot be read"):
        values({"type": "parquet", "path": str(tmp_path)}, ttl="12h")
    assert values(source, ttl="12h") == expected


def test_days_of_folders_begin_where_their_zone_says(tmp_path, expected):
    shanghai = datetime.timezone(datetime.timedelta(hours=8))
    in_folders(local(tmp_path), zone=shanghai)
    partition = {"column": "ds", "zone": "Asia/Shanghai"}
    assert values({"type": "parquet", "path": str(tmp_path), "partition": partition}, ttl="12h") == expected
    config = parquet.Config(type="parquet", path="x", partition=partition)
    assert config.partition.bounds(Wanted(time="ts", low=(START + 15 * 3600) * 1_000_000)) == [(">=", "20260101")]
    assert config.partition.bounds(Wanted(time="ts", low=(START + 16 * 3600) * 1_000_000)) == [(">=", "20260102")]


@pytest.mark.parametrize(
    ("partition", "message"),
    [
        ({"format": "%d.%m.%Y"}, "must be %Y, %m, %d and %H in this order"),
        ({"zone": "Mars"}, "unknown time zone 'Mars'"),
    ],
)
def test_folders_whose_texts_are_not_in_the_order_of_time_are_refused(partition, message):
    with pytest.raises(ConfigError, match=message):
        project({"type": "parquet", "path": "x", "partition": {"column": "ds", **partition}})


def test_a_delta_table_gives_the_same_rows(tmp_path, expected):
    deltalake = pytest.importorskip("deltalake", reason="needs the extra 'delta'")
    table = rows()
    deltalake.write_deltalake(str(tmp_path / "t"), table.slice(0, 1000))
    deltalake.write_deltalake(str(tmp_path / "t"), table.slice(1000), mode="append")
    source = {"type": "delta", "path": str(tmp_path / "t")}
    assert values(source, ttl="12h") == expected
    assert values({**source, "version": 0}, ttl="12h") != expected
    with pytest.raises(DataError, match=r"nowhere: cannot be read"):
        values({"type": "delta", "path": str(tmp_path / "nowhere")})
    with pytest.raises(StoreError, match="for Spark name it as one of its catalogue"):
        project(source).view("u").source.frame(None)


def test_an_iceberg_table_gives_the_same_rows(tmp_path, expected):
    pytest.importorskip("pyiceberg", reason="needs the extra 'iceberg'")
    from pyiceberg.catalog import load_catalog

    properties = {"type": "sql", "uri": f"sqlite:///{tmp_path}/c.db", "warehouse": f"file://{tmp_path}/w"}
    catalog = load_catalog("default", **properties)
    catalog.create_namespace("shop")
    table = rows()
    made = catalog.create_table("shop.users", schema=table.schema)
    made.append(table.slice(0, 1000))
    first = made.current_snapshot().snapshot_id
    made.append(table.slice(1000))
    catalog.close()
    source = {"type": "iceberg", "table": "shop.users", "properties": properties}
    assert values(source, ttl="12h") == expected
    assert values({**source, "snapshot": first}, ttl="12h") != expected
    with pytest.raises(DataError, match=r"table shop.none: cannot be read"):
        values({**source, "table": "shop.none"})
    db = connection()  # of the days that are not wanted nothing comes
    project(source).view("u").source.scan(db, "u", Wanted(["ts"], "ts", (START + DAY) * 1_000_000, None))
    low, names = db.execute("SELECT min(ts), count(*) FROM u").fetchall()[0]
    assert low >= datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)
    assert 0 < names < table.num_rows
    db.close()


def test_secrets_of_storages_are_not_told(tmp_path):
    options = {"key": "AKIAEXAMPLE", "client_kwargs": {"secret": "hunter22"}}
    config = project({"type": "parquet", "path": "s3://b/x", "storage_options": options})
    assert "AKIA" not in repr(config) + str(config.model_dump())
    assert "hunter22" not in repr(config) + str(config.model_dump())


def test_a_storage_that_nobody_knows_is_told():
    with pytest.raises(DataError, match=r"nowhere://b/x: cannot be read: Protocol not known: nowhere"):
        values({"type": "parquet", "path": "nowhere://b/x"})


@pytest.fixture(scope="module")
def bucket(s3_address):
    """A file system of a server that speaks S3's protocol, with an empty bucket, and its options."""
    import s3fs

    options = {"key": "testing", "secret": "testing", "client_kwargs": {"endpoint_url": s3_address}}
    system = s3fs.S3FileSystem(**options)
    system.mkdir("warehouse")
    return system, options


def test_folders_of_an_object_store_are_read_and_pruned(bucket, expected):
    system, options = bucket

    def write(folder, table):
        with system.open(f"warehouse/users/{folder}/0.parquet", "wb") as file:
            pq.write_table(table, file)

    in_folders(write)
    system.pipe("warehouse/users/ds=20260105/0.parquet", b"no parquet file")
    source = {"type": "parquet", "path": "s3://warehouse/users", "storage_options": options}
    assert values({**source, "partition": {"column": "ds"}}, ttl="12h") == expected
    assert values({**source, "path": "s3://warehouse/users/ds=2026010[1-4]/*.parquet"}, ttl="12h") == expected
    with pytest.raises(DataError, match="s3://warehouse/none: cannot be read"):
        values({**source, "path": "s3://warehouse/none"})


def test_a_view_is_built_into_an_object_store(bucket, tmp_path):
    system, options = bucket
    pq.write_table(rows(), tmp_path / "rows.parquet")
    target = {"type": "parquet", "path": "s3://warehouse/counts", "storage_options": options}
    given = {"type": "parquet", "path": str(tmp_path / "rows.parquet")}
    count = {"type": "count", "name": "value", "over": "7d"}
    transform = {"type": "windows", "input": given, "event_time": "ts", "features": [count]}
    config = project(target, transform=transform)
    assert build(config, "u").rows == 50 * 4
    assert system.ls("warehouse/counts") == ["warehouse/counts/0.parquet"]
    found = training_set(config, "m", spine()).table["value"].to_pylist()
    plain = rows().to_pandas()
    for user, when, value in zip(
        *(spine()[name].to_pylist() for name in ("user_id", "event_time")), found, strict=True
    ):
        own = plain[(plain["user_id"] == user) & (plain["ts"] < when.replace(hour=0, minute=0, second=0))]
        assert (value or 0) == len(own)
