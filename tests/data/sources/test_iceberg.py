import datetime
import json
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.data.sources import iceberg as module
from easyrec.errors import ConfigError, DataError, MissingExtra

pytest.importorskip("pyiceberg", reason="needs the extra 'iceberg'")
pytest.importorskip("pyiceberg_core", reason="needs pyiceberg-core, to write tables that are partitioned by days")

DAYS = [datetime.datetime(2026, 1, day, 10, 30) for day in (1, 2, 3)]


def day(place, first=0, count=10, **columns):
    ids = [100 * place + i for i in range(first, first + count)]
    kinds = {"id": pa.array(ids, pa.int32()), "text": [f"t{i}" for i in ids]}
    clicks = pa.array([[{"item": i}] for i in ids], pa.list_(pa.struct([("item", pa.int64())])))
    at = pa.array([DAYS[place]] * count, pa.timestamp("us"))
    return pa.table({**kinds, "at": at, "clicks": clicks, "city": [["a", "b"][place % 2]] * count, **columns})


def made(folder):
    """A catalogue in SQLite, with a table of three days by day and city; ids are 100 x the day's place and on."""
    from pyiceberg.catalog import load_catalog
    from pyiceberg.transforms import DayTransform, IdentityTransform

    properties = {"type": "sql", "uri": f"sqlite:///{folder}/catalog.db", "warehouse": f"file://{folder}/warehouse"}
    catalog = load_catalog("default", **properties)
    catalog.create_namespace("shop")
    table = catalog.create_table("shop.log", schema=day(0).schema, properties={"write.parquet.row-group-limit": "4"})
    with table.update_spec() as update:
        update.add_field("at", DayTransform(), "at_day")
        update.add_field("city", IdentityTransform(), "city")
    for place in range(3):
        table.append(day(place))
    return catalog


@pytest.fixture
def catalog(tmp_path):
    """One of the test's own."""
    catalog = made(tmp_path)
    yield catalog
    catalog.close()


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """The folder of one that stays as it is."""
    folder = tmp_path_factory.mktemp("iceberg")
    made(folder).close()
    return folder


def opened(tmp_path, **settings):
    known = {"table": "shop.log", "properties": {"type": "sql", "uri": f"sqlite:///{tmp_path}/catalog.db"}}
    return module.Config(**known | settings).open()


def read(source, columns=("id",)):
    found = [row for u in source.units() for b in source.read(u, list(columns)) for row in b.to_pylist()]
    return sorted(row["id"] for row in found) if columns == ("id",) else sorted(found, key=lambda row: row["id"])


IDS = [100 * place + i for place in range(3) for i in range(10)]
LIST = pa.list_(pa.struct([("item", pa.int64())]))


def test_the_current_snapshot_is_read(log):
    source = opened(log)
    kinds = {"id": pa.int32(), "text": pa.string(), "at": pa.timestamp("us"), "clicks": LIST, "city": pa.string()}
    assert source.columns == kinds
    assert [unit.rows for unit in source.units()] == [4, 4, 2] * 3
    assert read(source) == IDS
    found = read(source, ("city", "id", "clicks"))[10]
    assert found == {"city": "b", "id": 100, "clicks": [{"item": 100}]}
    for unit in source.units():
        for batch in source.read(unit, list(kinds)):
            assert dict(zip(batch.schema.names, batch.schema.types, strict=True)) == kinds
    assert opened(log).units() == source.units()


def test_an_older_snapshot_is_read_by_its_id_a_moment_a_tag_or_a_file(catalog, tmp_path):
    table = catalog.load_table("shop.log")
    first, second = table.snapshots()[:2]
    assert read(opened(tmp_path, snapshot=first.snapshot_id)) == IDS[:10]
    moment = datetime.datetime.fromtimestamp(second.timestamp_ms / 1000, datetime.UTC)
    assert read(opened(tmp_path, timestamp=moment.isoformat())) == IDS[:20]
    table.manage_snapshots().create_tag(first.snapshot_id, "frozen").commit()
    assert read(opened(tmp_path, ref="frozen")) == IDS[:10]
    source = module.Config(metadata=table.metadata_location).open()
    assert read(source) == IDS


@pytest.mark.parametrize(
    ("where", "places"),
    [
        ({"at_day": "2026-01-02"}, [1]),
        ({"at_day": {"last": 2, "until": "2026-01-03"}}, [1, 2]),
        ({"city": "a"}, [0, 2]),
        ({"city": ["a", "c"], "at_day": {"from": "2026-01-02"}}, [2]),
    ],
)
def test_only_wanted_partitions_are_read(log, where, places):
    assert read(opened(log, where=where)) == [100 * place + i for place in places for i in range(10)]


def evolve(catalog):
    """Rename, widen and add columns; then a fourth time of rows."""
    from pyiceberg.types import DoubleType, LongType

    table = catalog.load_table("shop.log")
    with table.update_schema() as update:
        update.rename_column("text", "name")
        update.update_column("id", LongType())
    with table.update_schema() as update:
        update.add_column("text", DoubleType())  # another one of the old name
    new = day(2, 10, 5).rename_columns(["id", "name", "at", "clicks", "city"])
    new = new.set_column(0, "id", new["id"].cast(pa.int64())).append_column("text", pa.array([1.5] * 5))
    table.append(new)
    return table


def test_columns_are_known_by_their_numbers(catalog, tmp_path):
    evolve(catalog)
    source = opened(tmp_path)
    assert source.columns["id"] == pa.int64()
    assert source.columns["text"] == pa.float64()
    source.require(["name", "text"])
    found = read(source, ("name", "text", "id"))
    assert [row["name"] for row in found] == [f"t{i}" for i in [*IDS, *range(210, 215)]]
    assert [row["text"] for row in found] == [None] * 30 + [1.5] * 5


def test_a_later_opening_is_pinned_to_the_snapshot(catalog, tmp_path):
    source = opened(tmp_path)
    pinned = json.loads(json.dumps(source.pinned()))
    evolve(catalog).delete("id < 5")
    other = opened(tmp_path)
    assert other.num_rows == 30
    other.pin(pinned)
    assert other.pinned() == pinned
    assert other.units() == source.units()
    assert other.columns == source.columns
    assert read(other, tuple(source.columns)) == read(source, tuple(source.columns))
    catalog.drop_table("shop.log")
    catalog.create_table("shop.log", schema=day(0).schema).append(day(0))
    with pytest.raises(DataError, match="cannot resume: another table has taken its name"):
        opened(tmp_path).pin(pinned)


def test_a_snapshot_that_has_expired_is_told(catalog, tmp_path):
    pinned = opened(tmp_path).pinned()
    table = catalog.load_table("shop.log")
    with pytest.raises(DataError, match="cannot resume: the snapshot 1 is there no more: it has expired"):
        opened(tmp_path).pin({**pinned, "snapshot": 1})
    assert table.current_snapshot().snapshot_id == pinned["snapshot"]


def test_rows_whose_positions_are_deleted_are_left_out(catalog, tmp_path, monkeypatch):
    """pyiceberg writes no such deletes: the manifest's answer is given one that lies beside the files."""
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
    from pyiceberg.table import DataScan

    plan = DataScan.plan_files
    task = next(task for task in plan(catalog.load_table("shop.log").scan()) if "2026-01-02" in task.file.file_path)
    other = "file:///another/file.parquet"
    rows = {"file_path": [task.file.file_path] * 6 + [other], "pos": [0, 4, 5, 6, 7, 9, 1]}
    pq.write_table(pa.table(rows), tmp_path / "deletes.parquet")

    def planned(self):
        found = list(plan(self))
        delete = DataFile.from_args(
            content=DataFileContent.POSITION_DELETES,
            file_path=f"file://{tmp_path}/deletes.parquet",
            file_format=FileFormat.PARQUET,
            record_count=7,
            file_size_in_bytes=1,
        )
        for one in found:
            if one.file.file_path == task.file.file_path:
                one.delete_files = {delete}
        return found

    monkeypatch.setattr(DataScan, "plan_files", planned)
    source = opened(tmp_path)
    assert read(source) == [*range(10), 101, 102, 103, 108, *range(200, 210)]
    assert sorted(unit.rows for unit in source.units() if "2026-01-02" in unit.file) == [0, 1, 3]


def test_a_file_without_the_column_of_its_partition_has_its_value(catalog, tmp_path):
    """As files have that were a Hive table's before; they also name their columns without numbers."""
    from pyiceberg.transforms import IdentityTransform

    folder = tmp_path / "warehouse"
    table = catalog.create_table("shop.hive", schema=pa.schema([("id", pa.int64()), ("dt", pa.string())]))
    with table.update_spec() as update:
        update.add_field("dt", IdentityTransform(), "dt")
    table.append(pa.table({"id": [1, 2], "dt": ["x", "y"]}))
    for path in folder.rglob("shop/hive/data/**/*.parquet"):
        pq.write_table(pq.read_table(path).select(["id"]).replace_schema_metadata(), path)
    assert read(opened(tmp_path, table="shop.hive"), ("id", "dt")) == [{"id": 1, "dt": "x"}, {"id": 2, "dt": "y"}]


def test_a_field_that_was_renamed_inside_of_a_column_is_told(catalog, tmp_path):
    table = catalog.load_table("shop.log")
    with table.update_schema() as update:
        update.rename_column("clicks.element.item", "item_id")
    table.append(day(0, 10, 1).set_column(3, "clicks", pa.array([[{"item_id": 1}]])))
    with pytest.raises(DataError, match=r"\.parquet, column 'clicks': its field 'item_id' was renamed since"):
        opened(tmp_path)


@contextmanager
def rest_catalogue(catalog):
    """The catalogue over HTTP, as far as reading asks: its settings, and a table's metadata."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers.get("Authorization")))
            path = unquote(self.path.partition("?")[0])
            if self.headers.get("Authorization") != "Bearer a-secret-token":
                self.answer(401, {"error": {"message": "who are you?", "type": "NotAuthorizedException", "code": 401}})
            elif path == "/v1/config":
                self.answer(200, {"defaults": {}, "overrides": {}})
            elif path == "/v1/namespaces/shop/tables/log":
                table = catalog.load_table("shop.log")
                metadata = json.loads(table.metadata.model_dump_json())
                self.answer(200, {"metadata-location": table.metadata_location, "metadata": metadata, "config": {}})
            else:
                error = {"message": f"Table does not exist: {path}", "type": "NoSuchTableException", "code": 404}
                self.answer(404, {"error": error})

        def answer(self, code, told):
            body = json.dumps(told).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_catalogue_is_asked_over_rest(catalog, tmp_path):
    with rest_catalogue(catalog) as (uri, asked):
        properties = {"type": "rest", "uri": uri, "token": "a-secret-token"}
        assert read(opened(tmp_path, properties=properties)) == IDS
        assert [path.partition("?")[0] for path, _ in asked] == ["/v1/config", "/v1/namespaces/shop/tables/log"]
        with pytest.raises(DataError, match=r"shop\.other: .*Table does not exist"):
            opened(tmp_path, table="shop.other", properties=properties)
        with pytest.raises(DataError, match="who are you") as caught:
            opened(tmp_path, properties={**properties, "token": "another-secret"})
        assert "another-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"table": "shop.nothing"}, DataError, r"shop\.nothing: Table does not exist"),
        ({"snapshot": 7}, DataError, "there is no snapshot 7"),
        ({"ref": "frozen"}, DataError, "there is no branch or tag 'frozen'"),
        ({"timestamp": "2020-01-01"}, DataError, "there is no snapshot as of 2020-01-01"),
        ({"timestamp": "monday"}, ValueError, "must be a moment such as"),
        ({"snapshot": 7, "ref": "x"}, ValueError, "give one of 'snapshot', 'timestamp' and 'ref'"),
        ({"metadata": "a.metadata.json"}, ValueError, "give either 'table' or 'metadata'"),
        ({"where": {"at": "2026-01-01"}}, ConfigError, "there is no partition 'at'.*\n *known: at_day, city"),
        ({"where": {"at_day": "monday"}}, ConfigError, "'at_day': 'monday' is no date"),
        ({"where": {"city": "z"}}, DataError, "there are at_day=2026-01-01,city=a to at_day=2026-01-03,city=a"),
        ({"properties": {"type": "sql", "uri": "sqlite:////nowhere/x.db"}}, DataError, "unable to open database file"),
        ({"properties": {"type": "sqll"}}, DataError, "'sqll' is not a valid CatalogType; known: .*sql"),
        ({"properties": {}}, DataError, "the catalogue 'default' is not known: give 'properties'"),
    ],
)
def test_what_does_not_fit_is_told(log, settings, error, message):
    with pytest.raises(error, match=message):
        opened(log, **settings)


def test_an_empty_table_and_one_without_a_catalogue_are_told(catalog, tmp_path):
    catalog.create_table("shop.empty", schema=day(0).schema)
    with pytest.raises(DataError, match="there is no snapshot: the table is empty"):
        opened(tmp_path, table="shop.empty")
    with pytest.raises(DataError, match="no such table: iceberg_tables"):
        opened(tmp_path, properties={"type": "sql", "uri": f"sqlite:///{tmp_path}/new.db"})
    with pytest.raises(DataError, match=r"nothing\.metadata\.json"):
        module.Config(metadata=str(Path(tmp_path, "nothing.metadata.json"))).open()


def test_the_extra_is_named_where_it_is_missing(catalog, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyiceberg", None)
    with pytest.raises(MissingExtra, match=r"pip install 'easyrec-torch\[iceberg\]'"):
        opened(tmp_path)
