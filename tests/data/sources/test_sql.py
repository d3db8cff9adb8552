import importlib
import sqlite3
import sys
import traceback
from contextlib import closing

import pyarrow as pa
import pytest

from easyrec.config.data import Shuffle
from easyrec.data import Demand, Loader
from easyrec.data.sources import sql
from easyrec.errors import ConfigError, DataError, MissingExtra
from feature_generator import FeatureGenerator

pytest.importorskip("adbc_driver_sqlite", reason="needs the extra 'sql'")

ROWS = [
    # Gaps between the keys, and rows that were not written in their order.
    {"id": 3 * i + 1, "name": None if i % 5 == 0 else f"n{i % 7}", "price": i / 4, "strange \"'$1? name": i}
    for i in range(103)
]


def execute(uri, *statements):
    driver = "adbc_driver_sqlite" if uri.startswith("file:") else "adbc_driver_postgresql"
    dbapi = importlib.import_module(f"{driver}.dbapi")
    with dbapi.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
        for statement in statements:
            if isinstance(statement, pa.Table):
                cursor.adbc_ingest("rows", statement, mode="replace")
            else:
                cursor.execute(statement)


class Server:
    """A database with the table `rows`: `uri` for the source, `change` for whoever else writes to it."""

    def __init__(self, uri, own):
        self.uri, self.own = uri, own
        self.change(pa.Table.from_pylist(ROWS[::-1]))

    def change(self, *statements):
        execute(self.own, *statements)

    def config(self, **settings):
        settings = {"order_by": "id", "unit_rows": 25} | settings
        return sql.Config(uri=self.uri, **({} if "query" in settings else {"table": "rows"}) | settings)

    def open(self, **settings):
        return self.config(**settings).open()


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request, tmp_path):
    if request.param == "sqlite":
        return Server(f"sqlite:///{tmp_path}/rows%3F.db", f"file:{tmp_path}/rows%3F.db")
    uri = request.getfixturevalue("postgres")
    return Server(uri, uri)


def read(source, columns=None):
    columns = list(source.columns) if columns is None else columns
    return [row for u in source.units() for b in source.read(u, columns) for row in b.to_pylist()]


def test_rows_come_in_the_order_of_the_column_whatever_they_were_written_in(server):
    assert read(server.open()) == ROWS
    assert read(server.open(table=None, query="SELECT * FROM rows WHERE id > 100 -- late ones\n;")) == ROWS[34:]
    by_other = server.open(order_by="strange \"'$1? name")
    assert [row["id"] for row in read(by_other)] == [row["id"] for row in ROWS]


def test_units_are_of_the_size_asked_for_and_equal_at_every_opening(server):
    source = server.open()
    assert [unit.rows for unit in source.units()] == [25, 25, 25, 25, 3]
    assert source.num_rows == 103
    again = server.open()
    assert again.units() == source.units()
    for one, two in zip(source.units(), again.units(), strict=True):
        assert list(source.read(one, ["id"])) == list(again.read(two, ["id"]))
    assert [unit.rows for unit in server.open(unit_rows=103).units()] == [103]
    assert [unit.rows for unit in server.open(unit_rows=1).units()] == [1] * 103


@pytest.mark.parametrize("start", [0, 1, 24, 25, 30])
def test_reading_resumes_at_any_row_of_a_unit(server, start):
    source = server.open()
    for number, unit in enumerate(source.units()):
        expected = ROWS[25 * number : 25 * number + 25][start:]
        columns = ["strange \"'$1? name", "id"]
        rows = [row for batch in source.read(unit, columns, start) for row in batch.to_pylist()]
        assert [list(row) for row in rows] == [columns] * len(expected)
        assert [row["id"] for row in rows] == [row["id"] for row in expected]
    assert sum(batch.num_rows for batch in source.read(source.units()[0], [], 1)) == 24


def test_a_loader_that_goes_on_yields_the_batches_that_would_have_followed(server):
    generator = FeatureGenerator.load({"features": [{"type": "id", "name": "name", "hash_bucket_size": 9}]})

    def loader():
        demand = Demand({}, reserved=["id"])
        return Loader(server.open(), generator, demand, batch_size=8, shuffle=Shuffle(buffer_rows=40), seed=3)

    def ids(batches):
        return [batch.reserved.column("id").to_pylist() for batch in batches]

    whole = ids(loader())
    assert sorted(i for batch in whole for i in batch) == [row["id"] for row in ROWS]
    first, second = loader(), loader()
    running = iter(first)
    head = ids(next(running) for _ in range(5))
    second.load_state(first.state())
    first.close()
    assert head + ids(second) == whole


def test_rows_that_were_added_outside_of_the_units_are_not_read(server):
    source = server.open(table=None, query="SELECT id, name FROM rows")
    server.change("INSERT INTO rows (id, name) VALUES (1000, 'late')", "INSERT INTO rows (id, name) VALUES (75, 'gap')")
    assert [row["id"] for row in read(source)] == [row["id"] for row in ROWS]


@pytest.mark.parametrize(
    ("statement", "rows"),
    [("DELETE FROM rows WHERE id = 7", 24), ("INSERT INTO rows (id) VALUES (8)", 26)],
    ids=["deleted", "inserted"],
)
def test_rows_that_change_inside_of_a_unit_are_told(server, statement, rows):
    source = server.open()
    server.change(statement)
    with pytest.raises(DataError, match=rf"id from 1 to 73: has {rows} rows, but had 25 when it was opened"):
        list(source.read(source.units()[0], ["id"]))
    generator = FeatureGenerator.load({"features": [{"type": "id", "name": "name", "hash_bucket_size": 9}]})
    loader = Loader(source, generator, Demand({}, reserved=["id"]), batch_size=8)
    other = Loader(server.open(), generator, Demand({}, reserved=["id"]), batch_size=8)
    with pytest.raises(DataError, match="cannot resume: the number of rows was 103 and is 10"):
        other.load_state(loader.state())


@pytest.mark.parametrize(
    ("change", "order_by", "message"),
    [
        ("SELECT 1", "idd", r"no column 'idd'; did you mean 'id'"),
        ("INSERT INTO rows (id) VALUES (4)", "id", "'id' is 4 in two rows, but must be unique"),
        ("INSERT INTO rows (name) VALUES ('x')", "id", "'id' is null in some rows"),
        ("SELECT 1", "price", "must be a column of whole numbers.*'price' is double"),
    ],
    ids=["absent", "twice", "null", "fraction"],
)
def test_a_column_that_is_no_order_is_refused(server, change, order_by, message):
    server.change(change)
    with pytest.raises(ConfigError, match=f"(?s)order_by.*{message}"):
        server.open(order_by=order_by)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"table": "absent"}, "absent: cannot be read: .*absent"),
        ({"query": "SELEC 1"}, "query: cannot be read: .*syntax error"),
        ({"query": "SELECT * FROM rows WHERE id < 0"}, "query: has no rows"),
        ({"query": "SELECT 1; DROP TABLE rows"}, "query: cannot be read"),
    ],
    ids=["table", "syntax", "no-rows", "two-statements"],
)
def test_a_query_that_gives_no_rows_is_told(server, settings, message):
    with pytest.raises(DataError, match=message) as caught:
        server.open(**settings)
    assert len(str(caught.value).splitlines()) == 1
    assert read(server.open()) == ROWS


def test_a_row_is_located_by_its_value_in_the_order(server):
    source = server.open()
    place = source.locate(source.units()[1], 2)
    assert place.file.endswith(", rows, id = 82")
    assert place.row == 27


def test_a_table_is_found_in_its_schema_and_types_without_arrow_are_texts_or_numbers(postgres):
    execute(
        postgres,
        "DROP SCHEMA IF EXISTS other CASCADE",
        "CREATE SCHEMA other",
        "CREATE TABLE other.things (day date PRIMARY KEY, price numeric, about jsonb, tags text[], steps numeric[])",
        "INSERT INTO other.things VALUES ('2024-02-29', 1.25, '{\"a\": 1}', '{x,y}', '{1,2.5}'), ('2024-03-01', NULL, NULL, NULL, NULL)",
    )
    source = sql.Config(uri=postgres, table="other.things", order_by="day", unit_rows=1).open()
    rows = read(source, ["price", "about", "tags", "steps"])
    assert rows[0] == {"price": 1.25, "about": '{"a": 1}', "tags": ["x", "y"], "steps": [1.0, 2.5]}
    assert set(rows[1].values()) == {None}
    assert source.bounds(source.units()[1], "day")[0].as_py().isoformat() == "2024-03-01"


def test_a_column_of_several_types_in_sqlite_has_the_widest_one_in_every_unit(tmp_path):
    with closing(sqlite3.connect(tmp_path / "rows.db")) as database, database:
        database.execute("CREATE TABLE rows (id, late, mixed, none)")
        values = [(i, None if i < 30 else i + 0.5, i if i < 20 else f"t{i}", None) for i in range(40)]
        database.executemany("INSERT INTO rows VALUES (?, ?, ?, ?)", values)
    source = sql.Config(uri=f"sqlite:///{tmp_path}/rows.db", table="rows", order_by="id", unit_rows=10).open()
    assert source.columns == {"id": pa.int64(), "late": pa.float64(), "mixed": pa.string(), "none": pa.string()}
    assert [tuple(row.values()) for row in read(source)] == [(a, b, str(c), d) for a, b, c, d in values]
    with pytest.raises(ConfigError, match="'mixed' holds several types"):
        sql.Config(uri=f"sqlite:///{tmp_path}/rows.db", table="rows", order_by="mixed").open()


def test_a_file_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(DataError, match=r"no\.db: there is no such file"):
        sql.Config(uri=f"sqlite:///{tmp_path}/no.db", table="rows", order_by="id").open()
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "x.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(DataError, match=r"x\.db.*: cannot be (read|opened): .*not a database"):
        sql.Config(uri=f"sqlite:///{tmp_path}/x.db", table="rows", order_by="id").open()


def told(uri, **settings):
    """All that a user may see of a config that fails: the error, its traceback, the config itself."""
    with pytest.raises((DataError, ValueError)) as caught:
        sql.Config(uri=uri, table="rows", order_by="id", **settings).open()
    return "".join(traceback.format_exception(caught.value)).replace("def told(uri", "")


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://app:geheim%2F7@127.0.0.1:1/x",
        "postgresql://app@127.0.0.1:1/x?password=geheim%2F7",
        "postgresql://app:gehe%zzim7@127.0.0.1:1/x",
        "postgresql://app:geheim/7@127.0.0.1:1/x",
        "postgresql://app:geheim@7@127.0.0.1:1/x",
        "postgresql://app:geheim:7@127.0.0.1:1/x",
        "postgresql://app:geheim#7@127.0.0.1:1/x",
        "postgresql://app:geheim?7@127.0.0.1:1/x",
        "mysql://app:geheim7@127.0.0.1:1/x",
    ],
)
def test_a_password_is_never_shown(uri):
    pytest.importorskip("adbc_driver_postgresql")
    text = told(uri)
    assert "geheim" not in text
    assert "gehe%zz" not in text
    if "%2F" in uri:
        assert "postgresql://app" in text


def test_a_wrong_password_and_an_unknown_table_do_not_show_it(postgres):
    wrong = postgres.replace("s3cr", "geheim")
    text = told(wrong)
    assert "password authentication failed" in text
    assert "geheim" not in text
    config = sql.Config(uri=postgres, table="rows", order_by="id", unit_rows=7)
    assert "s3cr" not in repr(config) + str(config) + config.model_dump_json()
    with pytest.raises(ValueError, match="unit_rows") as caught:
        sql.Config(uri=postgres, table="rows", order_by="id", unit_rows=0)
    assert "s3cr" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"table": None}, "give either 'table' or 'query'"),
        ({"query": "SELECT 1"}, "give either 'table' or 'query'"),
        ({"uri": "rows.db"}, "must start with postgresql:// or sqlite:///"),
        ({"uri": "sqlite://rows.db"}, "must be sqlite:///path"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        sql.Config(**{"uri": "sqlite:///x.db", "table": "rows", "order_by": "id"} | settings)


def test_a_missing_driver_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "adbc_driver_sqlite.dbapi", None)
    with pytest.raises(MissingExtra, match=r"'adbc_driver_sqlite': pip install '.*\[sql\]'"):
        sql.Config(uri=f"sqlite:///{tmp_path}/x.db", table="rows", order_by="id").open()
