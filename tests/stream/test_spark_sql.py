"""Spark, where it is installed, makes of samples and views what DuckDB makes of them."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from easyrec.store.definitions import load_store
from easyrec.stream.dialects import dialect
from easyrec.stream.sample_sql import sample_sql
from easyrec.stream.view_sql import view_sql

sys.path.insert(0, str(Path(__file__).parent))
import events
import test_view_sql

NAMES = ["id", "request_id", "user_id", "item_id", "ts", "position", "click", "click_time", "buy", "buy_time"]


@pytest.mark.slow
def test_spark_makes_the_same_rows(tmp_path):
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip("needs the package pyspark: pip install 'easyrec-torch[spark]'")
    if not os.environ.get("JAVA_HOME") and shutil.which("java") is None:
        pytest.skip("needs Java: apt-get install default-jre-headless")
    events.write(tmp_path, 600)
    test_view_sql.write(tmp_path, 300)
    samples = load_store(events.definitions(tmp_path)).samples[0]
    view = test_view_sql.config(tmp_path)
    at = (test_view_sql.T0 + 247) * 1_000_000
    said = {
        engine: {
            "samples": sample_sql(samples, dialect(engine)),
            "view": view_sql(view, "counted", dialect(engine), at=at),
        }
        for engine in ("spark", "duckdb")
    }
    for name, statement in said["spark"].items():
        (tmp_path / f"{name}.sql").write_text(statement)
    words = [sys.executable, str(Path(__file__).with_name("spark_run.py")), str(tmp_path)]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env={**os.environ, "SPARK_LOCAL_IP": "127.0.0.1"}
    )
    assert done.returncode == 0, done.stderr[-4000:]
    theirs = {name: pq.read_table(tmp_path / f"{name}.rows") for name in said["spark"]}
    ours = {name: test_view_sql.by_duckdb(statement) for name, statement in said["duckdb"].items()}
    made, wanted = (one["samples"].select(NAMES).sort_by("id") for one in (theirs, ours))
    assert made.cast(wanted.schema).equals(wanted)
    for made, wanted in zip(*(one["view"].sort_by("user_id").to_pylist() for one in (theirs, ours)), strict=True):
        assert pd.Timestamp(made.pop("ts"), tz="UTC") == wanted.pop("ts")
        for name in wanted:  # of nothing the last values are an empty list, or null
            made[name], wanted[name] = (one[name] or None if "last" in name else one[name] for one in (made, wanted))
        assert made == test_view_sql.rounded(wanted)
