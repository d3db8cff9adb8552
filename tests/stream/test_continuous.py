"""Queries that run for ever: Spark and Flink, where they are installed, make what DuckDB makes of all events."""

import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from easyrec.errors import ConfigError
from easyrec.store.definitions import load_store
from easyrec.stream.continuous import continuous
from easyrec.stream.dialects import dialect
from easyrec.stream.sample_sql import sample_sql
from easyrec.stream.view_sql import view_sql

sys.path.insert(0, str(Path(__file__).parent))
import events
import test_view_sql

FLINK = Path(__file__).parents[2] / "build" / "flink" / "bin" / "python"
EVERY = 20_000_000


def view_of(folder, **more):
    return test_view_sql.config(folder, lateness=8, **more)


def test_rows_at_the_ends_of_spans_are_those_of_these_moments(tmp_path):
    test_view_sql.write(tmp_path, 200, users=2)
    config = view_of(tmp_path)
    rows = test_view_sql.by_duckdb(view_sql(config, "counted", dialect("duckdb"), every=EVERY)).sort_by(
        [("user_id", "ascending"), ("ts", "ascending")]
    )
    moments = pc.unique(rows["ts"].cast(pa.int64())).to_pylist()
    assert len(moments) > 10
    assert all(one % EVERY == EVERY - 1 for one in moments)
    for at in moments[:: len(moments) // 4]:
        then = (
            test_view_sql.by_duckdb(view_sql(config, "counted", dialect("duckdb"), at=at))
            .sort_by("user_id")
            .to_pylist()
        )
        own = {row["user_id"]: row for row in rows.filter(pc.equal(rows["ts"].cast(pa.int64()), at)).to_pylist()}
        assert own
        for row in then:
            if row["user_id"] in own:
                assert own[row["user_id"]] == test_view_sql.rounded(row)


def test_what_cannot_run_for_ever_is_told(tmp_path):
    with pytest.raises(ConfigError, match="'duckdb' has no queries that run for ever; known: flink, spark"):
        continuous("duckdb")
    flink, spark = continuous("flink"), continuous("spark")
    with pytest.raises(
        ConfigError, match=r"flink does not say the session of a moment .*: 'session_count_events'; take spark"
    ):
        flink.view_query(view_of(tmp_path), "counted", EVERY)
    corrected = load_store(events.definitions(tmp_path, late="correct")).samples[0]
    for engine in (flink, spark):
        with pytest.raises(ConfigError, match=r"rows are made at the ends of whole seconds, not every 0\.5 s"):
            engine.view_query(view_of(tmp_path), "counted", 500_000)
        with pytest.raises(ConfigError, match="samples 'ctr' are made again for what comes late"):
            engine.sample_query(corrected)
    source = {"type": "kafka", "brokers": "localhost:1", "topic": "t"}
    with pytest.raises(ConfigError, match="events of 'kafka' are no files: name a table that holds them"):
        spark.view_query(view_of(tmp_path, source=source), "counted", EVERY)
    assert "readStream.table" in spark.view_query(view_of(tmp_path, source=source), "counted", EVERY, "`shop`.`log`")


def test_long_intervals_of_flink_are_sums():
    interval = continuous("flink").interval
    assert interval(90_061_000_001) == "INTERVAL '1 01:01:02' DAY TO SECOND"
    assert interval(0) == "INTERVAL '0 00:00:00' DAY TO SECOND"
    assert interval(100 * 86_400_000_000).count("INTERVAL") == 2


def test_a_program_of_spark_is_told_of_texts_whole(tmp_path):
    wanted = 'it\'s \\ "x" {} `y` \n'
    made = continuous("spark").view_query(view_of(tmp_path, where={"item": {"is": wanted}}), "counted", EVERY)
    compile(made, "program", "exec")
    line = next(line for line in made.splitlines() if line.startswith("SPEC"))
    told = {"json": json}
    exec(line.replace(": dict[str, Any]", ""), told)
    assert dialect("spark").text(wanted) in told["SPEC"]["events"]["events"]["select"]


def split(path, folder, parts=4):
    """A file as several, so that they come one after another."""
    folder.mkdir()
    rows = pq.read_table(path)
    size = -(-rows.num_rows // parts)
    for part in range(parts):
        place = folder / f"{part}.parquet"
        pq.write_table(rows.slice(part * size, size), place)
        os.utime(place, (1_700_000_000 + part, 1_700_000_000 + part))


def split_samples(folder):
    """Samples whose events are in several files each."""
    told = events.definitions(folder)["samples"][0]
    for kind, one in (("exposure", told["exposures"]), ("click", told["labels"][0]), ("buy", told["labels"][1])):
        split(folder / f"{kind}.parquet", folder / f"{kind}s")
        one["source"]["path"] = str(folder / f"{kind}s")
    return load_store({**events.definitions(folder), "samples": [told]}).samples[0]


def run(words, **env):
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False, env={**os.environ, **env})
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.slow
def test_spark_gives_out_what_the_watermark_has_passed(tmp_path, monkeypatch):
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip("needs the package pyspark: pip install 'easyrec-torch[spark]'")
    if not os.environ.get("JAVA_HOME") and shutil.which("java") is None:
        pytest.skip("needs Java: apt-get install default-jre-headless")
    spark = continuous("spark")
    monkeypatch.setattr(spark, "FILES_AT_ONCE", 1)
    events.write(tmp_path, 300)
    test_view_sql.write(tmp_path, 200)
    split(tmp_path / "log.parquet", tmp_path / "log")
    samples = split_samples(tmp_path)
    view = view_of(tmp_path, source={"type": "parquet", "path": str(tmp_path / "log")})
    programs = {"samples": spark.sample_query(samples), "view": spark.view_query(view, "counted", EVERY)}
    submit = "--master local[1] --conf spark.sql.shuffle.partitions=1 --conf spark.ui.enabled=false pyspark-shell"
    made = {}
    for name, program in programs.items():
        (tmp_path / f"{name}.py").write_text(program)
        words = [sys.executable, tmp_path / f"{name}.py", "--state", tmp_path / f"{name}.state"]
        words += ["--output", tmp_path / f"{name}.rows", "--until", "end", "--flush"]
        run(words, SPARK_LOCAL_IP="127.0.0.1", PYSPARK_SUBMIT_ARGS=submit)
        made[name] = pq.read_table(tmp_path / f"{name}.rows", partitioning=None)
        before = [one for one in (tmp_path / f"{name}.rows").glob("batch=*") if pq.read_table(one).num_rows]
        assert len(before) > 1, "rows are given out as events come"
    expected = {
        "samples": test_view_sql.by_duckdb(sample_sql(samples, dialect("duckdb"))),
        "view": test_view_sql.by_duckdb(view_sql(view, "counted", dialect("duckdb"), every=EVERY)),
    }
    check_rows(made["samples"], expected["samples"], ["id"])
    check_rows(made["view"], expected["view"], ["user_id", "ts"])


@pytest.mark.slow
def test_flink_gives_out_what_the_watermark_has_passed(tmp_path):
    if not FLINK.exists():
        pytest.skip("needs apache-flink in an environment of its own: make test-engines makes it")
    events.write(tmp_path, 300)
    test_view_sql.write(tmp_path, 200)
    told = events.definitions(tmp_path)["samples"][0]
    for kind, one in (("exposure", told["exposures"]), ("click", told["labels"][0]), ("buy", told["labels"][1])):
        one.update(as_lines(tmp_path, kind, one["columns"]))
    samples = load_store({**events.definitions(tmp_path), "samples": [told]}).samples[0]
    lines = as_lines(tmp_path, "log", test_view_sql.COLUMNS)
    whole = [one for name, window in test_view_sql.WINDOWS.items() for one in test_view_sql.aggregates(name, window)]
    decayed = {"name": "decayed", "function": "decayed", "half_life": 30}
    without = [one for one in whole if not one["name"].startswith("session")]
    view = view_of(tmp_path, **lines, aggregates=[*without, decayed])
    last = view_of(tmp_path, **lines, aggregates=[*whole, decayed])  # sessions too, of all events at once
    at = (test_view_sql.T0 + 247) * 1_000_000
    flink, asked = continuous("flink"), {}
    asked["samples"] = flink.sample_query(samples), sample_sql(samples, dialect("duckdb"))
    asked["view"] = flink.view_query(view, "counted", EVERY), view_sql(view, "counted", dialect("duckdb"), every=EVERY)
    asked["batch"] = [view_sql(last, "counted", dialect(name), at=at) for name in ("flink", "duckdb")]
    for name, (statement, _) in asked.items():
        (tmp_path / f"{name}.sql").write_text(statement)
    run([FLINK, Path(__file__).with_name("flink_run.py"), tmp_path], PATH=f"{FLINK.parent}:{os.environ['PATH']}")
    for name, (_, statement) in asked.items():
        ours = test_view_sql.by_duckdb(statement)
        keys = ["id"] if name == "samples" else ["user_id", "ts"]
        check_rows(pq.read_table(tmp_path / f"{name}.parquet"), ours, keys)


def as_lines(folder, kind, columns):
    """The events of a kind as JSON lines, with milliseconds; gives what definitions say of them."""
    rows = pq.read_table(folder / f"{kind}.parquet")
    times = pc.divide(rows["ts"].cast(pa.int64()), 1000)
    rows = rows.set_column(rows.schema.get_field_index("ts"), "ts", times)
    place = folder / f"{kind} lines"
    place.mkdir()
    lines = [json.dumps({name: value for name, value in row.items() if value is not None}) for row in rows.to_pylist()]
    (place / "0.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return {"source": {"type": "jsonl", "path": str(place)}, "columns": {**columns, "ts": "int64"}, "time_unit": "ms"}


def check_rows(theirs, ours, keys):
    """Rows are equal: times to the millisecond, and arrays that are empty may be null."""

    def plain(value):
        if isinstance(value, datetime):
            return int(value.replace(tzinfo=value.tzinfo or timezone.utc).timestamp() * 1000)
        if isinstance(value, float):
            return None if math.isnan(value) else value
        return value or None if isinstance(value, list) else value

    def rows(table):
        found = [{name: plain(row[name]) for name in ours.schema.names} for row in table.to_pylist()]
        return sorted(found, key=lambda row: [row[key] for key in keys])

    made, wanted = rows(theirs), rows(ours)
    assert len(made) == len(wanted) > 5
    for mine, its in zip(made, wanted, strict=True):
        assert mine == {
            name: value if name in keys else test_view_sql.rounded({0: value})[0] for name, value in its.items()
        }
