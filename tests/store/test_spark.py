"""Training sets by Spark, where it is installed: the rows that duckdb gives."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What `spark_run.py` tells."""
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip("needs the package pyspark: pip install 'easyrec-torch[spark]'")
    if not os.environ.get("JAVA_HOME") and shutil.which("java") is None:
        pytest.skip("needs Java: apt-get install default-jre-headless")
    pytest.importorskip("duckdb", reason="needs the extra 'store'")
    folder = tmp_path_factory.mktemp("spark")
    path = os.pathsep.join([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    env = {**os.environ, "PYTHONPATH": path.rstrip(os.pathsep), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, str(Path(__file__).with_name("spark_run.py")), str(folder)]
    done = subprocess.run(words, env=env, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads((folder / "told.json").read_text())


def test_rows_are_those_of_duckdb_on_every_row(told):
    assert told["equal"]
    assert told["told"] == [2000, True, True]
    assert all(0 < nulls < 2000 for nulls in told["nulls"])


def test_folders_by_day_hold_the_same_rows(told):
    assert told["by_day"]
    assert told["days"] == ["ds=20260101", "ds=20260102", "ds=20260103", "ds=20260104"]


def test_tables_of_a_metastore_are_read_and_pruned(told):
    assert told["hive"]
    assert told["pruned"]
    assert "table 'shop.days' is read by Spark: take --engine spark hive=true" in told["hive_alone"]
    assert "table shop.none: cannot be read" in told["absent"]


def test_what_does_not_fit_is_told(told):
    assert "is there already: take another folder" in told["again"]
    assert "column 'when': the spine has no such column" in told["column"]
