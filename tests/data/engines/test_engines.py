"""Ray and Spark, where they are installed: real workers write what one process writes."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def lacking(kind):
    """Why an engine cannot run here; empty where it can."""
    package = {"ray": "ray", "spark": "pyspark"}[kind]
    if importlib.util.find_spec(package) is None:
        return f"needs the package {package}: pip install 'easyrec-torch[{kind}]'"
    if kind == "spark" and not os.environ.get("JAVA_HOME") and shutil.which("java") is None:
        return "needs Java: apt-get install default-jre-headless"
    return ""


@pytest.fixture(scope="module", params=["ray", "spark"])
def told(request, tmp_path_factory):
    """What `engine_run.py` tells of an engine, with its name."""
    if reason := lacking(request.param):
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp(request.param)
    words = [sys.executable, str(Path(__file__).with_name("engine_run.py")), request.param, str(folder)]
    path = os.pathsep.join([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    env = {**os.environ, "PYTHONPATH": path.rstrip(os.pathsep), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, env=env, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads((folder / "told.json").read_text()) | {"engine": request.param}


def test_features_are_those_of_one_process_bit_for_bit(told):
    workers = told["fg"].pop("workers")
    assert told["fg"] == {"equal": True, "schema": True, "rows": [3000, 3000], "parts": 6, "own": False}
    assert 1 <= workers <= 2


def test_bad_rows_are_counted_over_the_workers(told):
    assert told["skip"] == {"equal": True, "bad": [2, 2, {"price": 2}]}


def test_a_bad_row_is_named_in_the_words_of_one_process(told):
    ours, alone = told["fail"]
    assert ours.startswith("DataError: 2 of 6 slices failed, the others are done:")
    assert alone.removeprefix("DataError: ") in ours
    assert "bad.parquet, row 2500, column 'price'" in ours


def test_the_slice_of_a_killed_worker_is_there_once(told):
    assert told["killed"] == [True, False]


def test_scores_are_those_of_one_process_bit_for_bit(told):
    assert told["predict"] == {"equal": True, "read": 3000, "parts": 6}
    assert "scores is there already: --overwrite" in told["refused"]


def test_tables_are_spark_s(told):
    if told["engine"] == "ray":
        assert "keeps no tables, so it cannot read 'db.rows': take --engine spark" in told["table"]
        return
    found = told["table"]
    assert found["features"]
    assert found["days"] == ["2026-01-02", "2026-01-03"]
    assert found["ordered"]
    assert found["scores"] == [True, True]
    assert "cannot read the table 'shop.none'" in found["absent"]
    assert "cannot read the table 'shop.rows'" in found["where"]
    assert "is no name of a table" in found["name"]
    assert "there is a table 'shop.scores' already" in found["twice"]
