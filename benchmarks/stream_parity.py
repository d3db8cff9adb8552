"""One definition, several engines: a stream view and a sample joiner over one log, in this process and as SQL.

`python benchmarks/stream_parity.py [--events 1000000] [--flink PYTHON]
    [--engines duckdb spark flink "spark, continuous" "flink, continuous"]`

The log holds exposures, clicks and buys, up to five seconds out of order, 2 % of them twice. The joiner's samples, and the
view's rows behind the last event, are made in this process, by DuckDB, by Spark (`easyrec-torch[spark]` and Java), and by Flink
(`--flink` names a Python that has apache-flink, which wants older packages than ours). Queries that run for ever make the view's
rows at the ends of hours, beside those of DuckDB. All rows have to be equal: whole numbers, texts, times and lists exactly,
numbers to nine digits.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from record import save, table

sys.path.remove(str(Path(__file__).resolve().parent))  # where `serving` is a script, and not the package

from easyrec.store.definitions import load_store
from easyrec.store.online.memory import MemoryStore
from easyrec.store.reader import ModelReader
from easyrec.stream.continuous import continuous
from easyrec.stream.dialects import dialect
from easyrec.stream.joining import Joining
from easyrec.stream.runner import Runner
from easyrec.stream.sample_sql import sample_sql
from easyrec.stream.view_sql import view_sql

BEGIN = 1_767_225_600_000_000
SECOND = 1_000_000
HOURS = 24
HOUR = 3600 * SECOND
COLUMNS = {
    "id": "string", "kind": "string", "request_id": "string", "user_id": "int64", "item_id": "int64", "price": "double",
    "ts": "int64",
}  # fmt: skip
WINDOWS = {
    "ever": {},
    "tumbling": {"window": {"type": "tumbling", "size": "1h"}},
    "hopping": {"window": {"type": "hopping", "size": "1h", "hop": "10m"}},
    "sliding": {"window": {"type": "sliding", "size": "6h", "tile": "6m"}},
    "session": {"window": {"type": "session", "gap": "2h"}},
}


def write_log(path: Path, events: int) -> None:
    """The log, as parquet and as a JSON object a line."""
    rng = np.random.default_rng(0)
    shown = round(events / 1.02 / 1.2)
    clicked = rng.choice(shown, round(shown * 0.17), replace=False)
    bought = rng.choice(len(clicked), round(shown * 0.03), replace=False)
    times = np.sort(rng.integers(0, HOURS * 3600 * SECOND, shown)) + BEGIN
    clicks = times[clicked] + rng.exponential(240 * SECOND, len(clicked)).astype(np.int64)
    buys = clicks[bought] + rng.exponential(1200 * SECOND, len(bought)).astype(np.int64)
    exposure = np.concatenate([np.arange(shown), clicked, clicked[bought]])
    kinds = np.repeat(["exposure", "click", "buy"], [shown, len(clicked), len(bought)])
    when = np.concatenate([times, clicks, buys])
    users, items = rng.integers(0, 20_000, shown // 8 + 1)[np.arange(shown) // 8], rng.integers(0, 10_000, shown)
    log = pa.table(
        {
            "id": [f"{kind[0]}{number}" for number, kind in enumerate(kinds.tolist())],
            "kind": kinds,
            "request_id": [f"r{number // 8}" for number in exposure.tolist()],
            "user_id": users[exposure],
            "item_id": items[exposure],
            "price": np.round(rng.gamma(2.0, 20.0, len(when)), 2),
            "ts": when,
        }
    )
    twice = rng.choice(len(when), events - len(when), replace=False)
    order = np.concatenate([np.arange(len(when)), twice])
    order = order[np.argsort(when[order] + rng.integers(0, 5 * SECOND, len(order)), kind="stable")]
    pq.write_table(log.take(pa.array(order)), path / "log.parquet", row_group_size=100_000)
    (path / "log").mkdir()
    log.take(pa.array(order)).to_pandas().to_json(path / "log" / "log.jsonl", orient="records", lines=True)


def definitions(
    folder: Path, kind: str = "parquet", *, sessions: bool = True, parts: bool = False
) -> dict[str, object]:
    """`store.yaml`, over the log as a kind of files, or as several files."""
    path = folder / ("parts" if parts else "log.parquet" if kind == "parquet" else "log")
    events = {
        "source": {"type": kind, "path": str(path)},
        "columns": COLUMNS,
        "event_time": "ts",
        "time_unit": "us",
        "id": "id",
        "lateness": "6s",
    }
    numbers = [("count", None), ("sum", "item_id"), ("mean", "price"), ("min", "price"), ("max", "item_id")]
    fields = [
        {"name": f"{name}_{function}", "function": function, **window, **({"column": column} if column else {})}
        for name, window in WINDOWS.items()
        for function, column in numbers
    ]
    fields += [
        {"name": "last_items", "function": "last", "column": "item_id", "k": 5, **WINDOWS["sliding"]},
        {"name": "first_item", "function": "first", "column": "item_id"},
        {"name": "decayed", "function": "decayed", "half_life": "1h"},
    ]
    if not sessions:  # Flink does not say them in a query that runs for ever
        fields = [one for one in fields if not one["name"].startswith("session")]
    labels = [
        {**events, "name": "click", "where": {"kind": "click"}, "window": "30m"},
        {
            **events,
            "name": "buy",
            "where": {"kind": "buy"},
            "window": "2h",
            "of": "click",
            "keys": ["user_id", "item_id"],
        },
    ]
    samples = {
        "name": "ctr",
        "keys": ["request_id", "item_id"],
        "exposures": {**events, "where": {"kind": "exposure"}},
        "labels": labels,
        "output": {"type": "parquet", "path": str(folder / "samples"), "partition": "none"},
        "state": {"type": "sqlite", "path": str(folder / "samples.db")},
    }
    view = {
        "name": "user_counts",
        "type": "stream",
        "entity": "user",
        "stream": {**events, "horizon": "1h", "aggregates": fields},
    }
    return {
        "project": "shop",
        "online": {"type": "memory"},
        "entities": [{"name": "user", "join_id": "user_id"}],
        "views": [view],
        "models": [{"name": "m", "features": [{"view": "user_counts"}]}],
        "samples": [samples],
    }


def end_of(folder: Path) -> int:
    """A whole second behind the last event."""
    return (int(pq.read_table(folder / "log.parquet", columns=["ts"])["ts"].to_numpy().max()) // SECOND + 1) * SECOND


def in_process(folder: Path) -> tuple[dict[str, pa.Table], dict[str, float]]:
    """Samples and the view's rows, and the seconds that they took."""
    config, seconds = load_store(definitions(folder)), {}
    begun = time.perf_counter()
    joining = Joining(config, "ctr", until_end=True)
    joining.run()
    joining.flush()
    joining.close()
    seconds["samples"] = time.perf_counter() - begun
    begun, store = time.perf_counter(), MemoryStore("shop")
    runner = Runner(config, "user_counts", store, until_end=True, folder=folder)
    runner.run()
    runner.close()
    seconds["view"] = time.perf_counter() - begun
    users = pa.array(np.unique(pq.read_table(folder / "log.parquet", columns=["user_id"])["user_id"].to_numpy()))
    read = ModelReader(config, store, "m", clock=lambda: end_of(folder) / SECOND).read({"user_id": users})["user_id"]
    view = pa.Table.from_batches([read]).append_column("user_id", users)
    return {"samples": pq.read_table(folder / "samples", partitioning=None), "view": view}, seconds


def statements(folder: Path, engine: str) -> dict[str, str]:
    """What an engine is asked."""
    config = load_store(definitions(folder, "jsonl" if engine == "flink" else "parquet"))
    return {
        "samples": sample_sql(config.samples[0], dialect(engine)),
        "view": view_sql(config, "user_counts", dialect(engine), at=end_of(folder)),
    }


def by_duckdb(folder: Path) -> tuple[dict[str, pa.Table], dict[str, float]]:
    """What DuckDB answers."""
    import duckdb  # noqa: PLC0415 (an extra)

    found, seconds = {}, {}
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        for name, statement in statements(folder, "duckdb").items():
            begun = time.perf_counter()
            found[name] = db.sql(statement).to_arrow_table()
            seconds[name] = time.perf_counter() - begun
    return found, seconds


def by_spark(folder: Path) -> tuple[dict[str, pa.Table], dict[str, float]]:
    """What Spark answers."""
    from pyspark.sql import SparkSession  # noqa: PLC0415 (an extra)

    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder = SparkSession.builder.master("local[2]").config("spark.sql.session.timeZone", "UTC")
    builder = builder.config("spark.ui.enabled", "false").config("spark.driver.memory", "3g")
    builder = builder.config("spark.sql.shuffle.partitions", "4").config("spark.log.level", "ERROR")
    spark = builder.getOrCreate()
    found, seconds = {}, {}
    for name, statement in statements(folder, "spark").items():
        begun = time.perf_counter()
        spark.sql(statement).write.mode("overwrite").parquet(str(folder / f"spark_{name}"))
        seconds[name] = time.perf_counter() - begun
        found[name] = pq.read_table(folder / f"spark_{name}")
    spark.stop()
    return found, seconds


def by_flink(folder: Path, python: str, *, endless: bool = False) -> tuple[dict[str, pa.Table], dict[str, float]]:
    """What Flink answers, in a Python of its own."""
    asked = statements(folder, "flink")
    if endless:
        config, flink = load_store(definitions(folder, "jsonl", sessions=False)), continuous("flink")
        asked = {
            "samples": flink.sample_query(config.samples[0]),
            "view": flink.view_query(config, "user_counts", HOUR),
        }
    (folder / "statements.json").write_text(json.dumps(asked))
    script = Path(__file__).parent / "peers" / "flink_sql.py"
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run([python, str(script), str(folder)], check=True, env=env)
    found = {name: pq.read_table(folder / f"flink_{name}.parquet") for name in ("samples", "view")}
    return found, json.loads((folder / "flink_seconds.json").read_text())


def by_spark_program(folder: Path) -> tuple[dict[str, pa.Table], dict[str, float]]:
    """What programs of Structured Streaming write, over the log in eight files."""
    log, parts = pq.read_table(folder / "log.parquet"), folder / "parts"
    parts.mkdir()
    for part in range(8):
        size = -(-log.num_rows // 8)
        pq.write_table(log.slice(part * size, size), parts / f"{part}.parquet")
        os.utime(parts / f"{part}.parquet", (part, part))
    config, spark = load_store(definitions(folder, parts=True)), continuous("spark")
    spark.FILES_AT_ONCE = 1
    programs = {"samples": spark.sample_query(config.samples[0]), "view": spark.view_query(config, "user_counts", HOUR)}
    submit = "--master local[2] --driver-memory 3g --conf spark.sql.shuffle.partitions=4 --conf spark.ui.enabled=false"
    env = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_SUBMIT_ARGS": f"{submit} pyspark-shell"}
    found, seconds = {}, {}
    for name, program in programs.items():
        script, output = folder / f"{name}.py", folder / f"program_{name}"
        script.write_text(program)
        words = ["--state", str(folder / f"state_{name}"), "--output", str(output), "--until", "end", "--flush"]
        begun = time.perf_counter()
        subprocess.run([sys.executable, str(script), *words], check=True, env=env)
        seconds[name] = time.perf_counter() - begun
        found[name] = pq.read_table(output, partitioning=None)
    return found, seconds


def at_hours(folder: Path, *, sessions: bool) -> pa.Table:
    """The view's rows at the ends of hours, by DuckDB."""
    import duckdb  # noqa: PLC0415 (an extra)

    config = load_store(definitions(folder, sessions=sessions))
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        return db.sql(view_sql(config, "user_counts", dialect("duckdb"), every=HOUR)).to_arrow_table()


def differing(ours: pa.Table, theirs: pa.Table, keys: list[str], *, milliseconds: bool = False) -> int:
    """Rows that are not equal, of the columns that both have; timestamps to the millisecond where an engine has no more."""
    names = [name for name in ours.schema.names if name in theirs.schema.names]
    if ours.num_rows != theirs.num_rows:
        return abs(ours.num_rows - theirs.num_rows)
    order = [(key, "ascending") for key in keys]
    one, other = ours.select(names).sort_by(order), theirs.select(names).sort_by(order)
    wrong = np.zeros(one.num_rows, bool)
    for name in names:
        mine, its = one[name].combine_chunks(), other[name].combine_chunks()
        if pa.types.is_floating(mine.type):
            values = [
                np.nan_to_num(np.asarray(column.to_numpy(zero_copy_only=False), float), nan=-1.0)
                for column in (mine, its)
            ]
            wrong |= ~np.isclose(*values, rtol=1e-9, atol=1e-12)
        elif pa.types.is_list(mine.type):
            wrong |= np.array([(a or []) != (b or []) for a, b in zip(mine.to_pylist(), its.to_pylist(), strict=True)])
        else:
            if pa.types.is_timestamp(mine.type) and pa.types.is_timestamp(its.type) and milliseconds:
                mine, its = (pc.floor_temporal(column, unit="millisecond") for column in (mine, its))
            same = mine.equals(its.cast(mine.type))
            wrong |= (
                False if same else np.array([a != b for a, b in zip(mine.to_pylist(), its.to_pylist(), strict=True)])
            )
    return int(np.count_nonzero(wrong))


def _row(
    engine: str, found: dict[str, pa.Table], seconds: dict[str, float], wrong: dict[str, int]
) -> dict[str, object]:
    row: dict[str, object] = {"engine": engine}
    for name, made in found.items():
        row |= {name: made.num_rows, f"{name}, s": round(seconds[name], 1), f"{name} that differ": wrong.get(name, "")}
    return row


ENGINES = {
    "duckdb": lambda folder, _: by_duckdb(folder),
    "spark": lambda folder, _: by_spark(folder),
    "spark, continuous": lambda folder, _: by_spark_program(folder),
    "flink": by_flink,
    "flink, continuous": lambda folder, python: by_flink(folder, python, endless=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--engines", nargs="*", choices=list(ENGINES), default=["duckdb", "spark"])
    parser.add_argument("--flink", help="a Python that has apache-flink")
    parser.add_argument("--save", action="store_true", help="keep the result beside the others")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_log(folder, args.events)
        ours, seconds = in_process(folder)
        rows = [_row("in process", ours, seconds, {})]
        took, wrong = {"in process": seconds}, {}
        for engine in args.engines:
            theirs, took[engine] = ENGINES[engine](folder, args.flink)
            endless, coarse = engine.endswith("continuous"), engine.startswith("flink")
            expected = dict(ours)
            if endless:
                expected["view"] = at_hours(folder, sessions=not coarse)
            keys = {"samples": ["id"], "view": ["user_id", "ts"] if endless else ["user_id"]}
            wrong[engine] = {n: differing(expected[n], theirs[n], key, milliseconds=coarse) for n, key in keys.items()}
            rows.append(_row(engine, theirs, took[engine], wrong[engine]))
            print(rows[-1], flush=True)
    table(rows)
    if args.save:
        save("stream_parity", {"events": args.events, "rows": rows})
    if any(sum(one.values()) for one in wrong.values()):
        sys.exit("the engines differ")


if __name__ == "__main__":
    main()
