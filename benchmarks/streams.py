"""Streams: how many events a second one process counts, by what it counts and where its state and rows lie.

A million events of 100,000 users with Zipf's skew over six hours, in parquet files, are replayed into stream views. The rate
is of wall time from the first event to the last row in the online store, with the state committed after each batch; the
processor's time beside it is that of all threads. Last, the rows are read as of the end and compared with what duckdb counts.

    python benchmarks/streams.py [EVENTS]
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from easyrec.store.definitions import load_store
from easyrec.store.reader import ModelReader
from easyrec.stream.runner import Runner

T0, HOURS, USERS, FILES = 1_700_000_000, 6, 100_000, 4
HOUR = {"type": "sliding", "size": "1h", "tile": "5m"}
COUNTS = [
    {"name": "clicks_1h", "function": "count", "window": HOUR},
    {"name": "clicks_30m", "function": "count", "window": {"type": "tumbling", "size": "30m"}},
]
MORE = [
    *COUNTS,
    {"name": "paid_1h", "function": "sum", "column": "price", "window": HOUR},
    {"name": "paid", "function": "mean", "column": "price", "window": {"type": "hopping", "size": "2h", "hop": "30m"}},
    {"name": "session", "function": "count", "window": {"type": "session", "gap": "10m"}},
    {"name": "heat", "function": "decayed", "half_life": "1h"},
]
VIEWS: dict[str, dict[str, Any]] = {
    "1 sliding count": {"aggregates": COUNTS[:1]},
    "2 windowed counts": {"aggregates": COUNTS},
    "2 windowed counts, lmdb": {"aggregates": COUNTS, "state": "lmdb", "online": "lmdb"},
    "2 windowed counts, direct": {"aggregates": COUNTS, "write": {"mode": "direct"}},
    "2 windowed counts, ids": {"aggregates": COUNTS, "id": "event"},
    "6 aggregates": {"aggregates": MORE},
    "last 20 items": {"aggregates": [{"name": "items", "function": "last", "column": "item", "k": 20}]},
    "distinct items of 1 h": {
        "aggregates": [{"name": "items", "function": "distinct", "column": "item", "window": HOUR}]
    },
}


def write_events(folder: Path, count: int) -> None:
    """The events, in files."""
    rng = np.random.default_rng(0)
    times = T0 + np.sort(rng.integers(0, HOURS * 3600, count)) - rng.integers(0, 30, count)
    table = pa.table(
        {
            "event": np.arange(count),
            "user_id": rng.zipf(1.2, count) % USERS,
            "item": rng.zipf(1.2, count) % 10_000,
            "ts": times,
            "price": rng.random(count).round(2),
        }
    )
    size = -(-count // FILES)
    for number in range(FILES):
        pq.write_table(table.slice(number * size, size), folder / f"{number}.parquet")


def measure(folder: Path, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Replay the events into one view."""
    place = Path(tempfile.mkdtemp(dir=folder))
    settings = dict(settings)
    online = {"type": settings.pop("online", "sqlite"), "path": str(place / "online.db")}
    columns = {"event": "int64", "user_id": "int64", "item": "int64", "ts": "int64", "price": "double"}
    used = {"user_id", "ts", *(one["column"] for one in settings["aggregates"] if "column" in one)}
    used |= {"event"} if "id" in settings else set()
    stream = {
        "source": {"type": "parquet", "path": str(folder)},
        "columns": {key: kind for key, kind in columns.items() if key in used},
        "event_time": "ts",
        **settings,
    }
    config = load_store(
        {
            "project": "benchmark",
            "online": online,
            "entities": [{"name": "user", "join_id": "user_id"}],
            "views": [{"name": "v", "type": "stream", "entity": "user", "stream": stream}],
            "models": [{"name": "m", "features": [{"view": "v"}]}],
        }
    )
    store = config.online.open("benchmark")
    runner = Runner(config, "v", store, until_end=True, folder=place)
    wall, cpu = time.perf_counter(), time.process_time()
    runner.run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    told = runner.figures()
    runner.close()
    wrong = (
        compare(folder, ModelReader(config, store, "m", clock=lambda: T0 + HOURS * 3600)) if name in CHECKED else None
    )
    store.close()
    return {
        "view": name,
        "events/s": round(told["read"] / wall),
        "events/s of CPU": round(told["read"] / cpu),
        "rows written": int(told["rows_written"]),
        "rows that differ from duckdb's": wrong,
    }


CHECKED = {name for name, settings in VIEWS.items() if settings["aggregates"] is COUNTS}


def compare(folder: Path, reader: ModelReader) -> int:
    """Keys whose counts, as of the end, are not what duckdb counts."""
    now = T0 + HOURS * 3600
    tile, window = now // 300, now // 1800
    counted = duckdb.sql(
        f"SELECT user_id, count(*) FILTER (ts // 300 > {tile - 12} AND ts // 300 <= {tile}) AS clicks_1h, "  # noqa: S608 (numbers)
        f"count(*) FILTER (ts // 1800 = {window - 1}) AS clicks_30m "
        f"FROM read_parquet('{folder}/*.parquet') GROUP BY user_id ORDER BY user_id"
    ).to_arrow_table()
    wrong = 0
    for batch in counted.to_batches(10_000):
        found = reader.read({"user_id": batch.column("user_id")})["user_id"]
        same = np.ones(batch.num_rows, bool)
        for name in ("clicks_1h", "clicks_30m"):
            # A key of which nothing is left has no row.
            same &= np.asarray(found.column(name).fill_null(0)) == np.asarray(batch.column(name))
        wrong += int((~same).sum())
    return wrong


def main(count: int) -> None:
    """Measure all views."""
    from record import save, table  # noqa: PLC0415 (loads torch, which is not measured)

    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        write_events(folder, count)
        measure(folder, "warm", {"aggregates": COUNTS[:1]})
        rows = [measure(folder, name, settings) for name, settings in VIEWS.items()]
    table(rows)
    save("streams", {"events": count, "users": USERS, "load": os.getloadavg(), "rows": rows})


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
