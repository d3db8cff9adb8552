"""A stream view as SQL: DuckDB counts of a log what the stream counts, at every moment."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.errors import ConfigError
from easyrec.store.definitions import load_store
from easyrec.store.online.memory import MemoryStore
from easyrec.store.reader import ModelReader
from easyrec.stream.dialects import dialect
from easyrec.stream.runner import Runner
from easyrec.stream.view_sql import view_sql
from feature_generator.config import members

T0 = 1_700_000_000
SECOND = 1_000_000
COLUMNS = {"id": "string", "user": "int64", "ts": "timestamp", "price": "double", "n": "int64", "item": "string"}
WINDOWS = {
    "ever": None,
    "tumbling": {"type": "tumbling", "size": 60},
    "hopping": {"type": "hopping", "size": 60, "hop": 20},
    "sliding": {"type": "sliding", "size": 60, "tile": 10},
    "session": {"type": "session", "gap": 15},
}


def aggregates(name, window):
    shown = {} if window is None else {"window": window}
    plain = [("count", None), ("sum", "n"), ("sum", "price"), ("mean", "price"), ("min", "price"), ("max", "n")]
    if name != "session":
        plain += [("last", "item"), ("first", "item")]
    return [
        {"name": f"{name}_{function}_{column or 'events'}", "function": function, **shown}
        | ({"column": column} if column else {})
        | ({"k": 3} if function == "last" else {})
        for function, column in plain
    ]


def config(folder, **more):
    fields = [one for name, window in WINDOWS.items() for one in aggregates(name, window)]
    fields.append({"name": "decayed", "function": "decayed", "half_life": 30})
    source = {"type": "parquet", "path": str(folder / "log.parquet")}
    stream = {"source": source, "columns": COLUMNS, "event_time": "ts", "key": "user", "id": "id", "aggregates": fields}
    view = {
        "name": "counted",
        "type": "stream",
        "entity": "user",
        "stream": {**stream, "where": {"n": {"not": 3}}, **more},
    }
    return load_store(
        {
            "project": "p",
            "online": {"type": "memory"},
            "entities": [{"name": "user", "join_id": "user_id"}],
            "views": [view],
            "models": [{"name": "m", "features": [{"view": "counted"}]}],
        }
    )


def write(folder, rows, seed=0, users=6):
    rng = np.random.default_rng(seed)
    times = T0 * SECOND + np.sort(rng.integers(0, 240 * SECOND, rows))
    log = pa.table(
        {
            "id": [f"e{n}" for n in range(rows)],
            "user": rng.integers(0, users, rows),
            "ts": pa.array(times, pa.timestamp("us", "UTC")),
            "price": pa.array(rng.random(rows), mask=rng.random(rows) < 0.2),
            "n": pa.array(rng.integers(0, 9, rows)),
            "item": pa.array([f"i{n}" for n in range(rows)], mask=rng.random(rows) < 0.2),
        }
    )
    order = np.argsort(times + rng.integers(0, 5 * SECOND, rows), kind="stable")
    order = np.concatenate([order, order[: rows // 20]])  # some come twice
    pq.write_table(log.take(pa.array(order)), folder / "log.parquet")


def by_duckdb(query):
    duckdb = pytest.importorskip("duckdb", reason="needs the extra 'store'")
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'; SET threads = 1")
        return db.sql(query).to_arrow_table()


def rounded(row):
    return {name: pytest.approx(value) if isinstance(value, float) else value for name, value in row.items()}


def test_duckdb_counts_what_the_stream_counts(tmp_path):
    write(tmp_path, 400)
    told, store = config(tmp_path), MemoryStore("p")
    runner = Runner(told, "counted", store, until_end=True, folder=tmp_path)
    runner.run()
    runner.close()
    users = list(range(6))
    for second in (240, 247, 263):
        at = T0 + second
        read = ModelReader(told, store, "m", clock=lambda now=at: now).read({"user_id": users})["user_id"]
        found = by_duckdb(view_sql(told, "counted", dialect("duckdb"), at=at * SECOND)).sort_by("user_id")
        assert found["user_id"].to_pylist() == users
        for ours, theirs in zip(read.to_pylist(), found.drop(["user_id", "ts"]).to_pylist(), strict=True):
            for name, value in theirs.items():
                if "last" in name:  # an array that is empty is null in one of both
                    ours[name], theirs[name] = ours[name] or [], value or []
            assert ours == rounded(theirs)


def test_rows_of_all_times_are_those_of_each_moment(tmp_path):
    write(tmp_path, 120, users=2)
    told = config(tmp_path)
    rows = by_duckdb(view_sql(told, "counted", dialect("duckdb"))).sort_by(
        [("user_id", "ascending"), ("ts", "ascending")]
    )
    times = rows["ts"].cast(pa.int64()).to_numpy()
    for second in (10.5, 60, 119.999999, 301):
        at = T0 * SECOND + round(second * SECOND)
        now = by_duckdb(view_sql(told, "counted", dialect("duckdb"), at=at)).sort_by("user_id").to_pylist()
        for row in now:
            own = np.flatnonzero((rows["user_id"].to_numpy() == row["user_id"]) & (times <= at))
            before = rows.slice(int(own[-1]), 1).to_pylist()[0]
            for left_out in ("ts", "decayed"):  # what decays is as of the row's time
                row.pop(left_out)
                before.pop(left_out)
            assert before == rounded(row)


@pytest.mark.parametrize("name", members("easyrec.stream.dialects"))
def test_names_and_texts_are_quoted(tmp_path, name):
    told = config(tmp_path, aggregates=[{"name": "n", "function": "count"}], where={"item": {"is": 'it\'s \\ "x" `y`'}})
    said = view_sql(told, "counted", dialect(name), at=0, table="log")
    assert "it''s" in said or r"it\'s \\ " in said


def test_what_cannot_be_said_is_told(tmp_path):
    with pytest.raises(ConfigError, match="unknown dialect 'ducdb'; did you mean 'duckdb'"):
        dialect("ducdb")
    source = {"type": "kafka", "brokers": "localhost:1", "topic": "t"}
    with pytest.raises(ConfigError, match="events of 'kafka' are no files: name a table that holds them"):
        view_sql(config(tmp_path, source=source), "counted", dialect("duckdb"))
    aggregates = [{"name": "l", "function": "last", "column": "item", "k": 101}]
    with pytest.raises(
        ConfigError, match="flink says the last 100 of a column, not 101 of `item`: take duckdb or spark"
    ):
        view_sql(config(tmp_path, aggregates=aggregates), "counted", dialect("flink"))
    with pytest.raises(ConfigError, match="unknown view 'countd'; did you mean 'counted'"):
        view_sql(config(tmp_path), "countd", dialect("duckdb"))
