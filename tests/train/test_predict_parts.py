"""`predict` with a queue: what several workers write is what one would, once, whatever happens on the way."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.data.queues import queue_config
from easyrec.errors import ConfigError, QueueError, RunError
from easyrec.train import api

ROOT = Path(__file__).parents[2]


@pytest.fixture
def trained(toy):
    toy.trainer(train__epochs=1).fit()
    return toy.path / "run"


@pytest.fixture
def rows(toy, data):
    """600 rows in 12 row groups."""
    path = toy.path / "rows.parquet"
    pq.write_table(pa.Table.from_pandas(data["test"], preserve_index=False), path, row_group_size=50)
    return path


@pytest.fixture
def queue(toy):
    return {"type": "files", "path": str(toy.path / "queue"), "slice_rows": 100, "lease_seconds": 600}


def parts(folder):
    return pd.concat([pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))], ignore_index=True)


def test_parts_together_are_the_prediction_of_one(trained, rows, queue, toy):
    out = toy.path / "scores"
    assert api.predict(trained, rows, out, queue=queue, progress=False) == out
    whole, found = api.predict(trained, rows), parts(out)
    assert found["row"].tolist() == whole["row"].tolist() == list(range(600))
    np.testing.assert_allclose(found["click"], whole["click"], rtol=1e-5)
    told = json.loads((out / "_SUCCESS").read_text())
    assert (told["slices"], told["rows"]) == (6, 600)
    kept = {path: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    api.predict(trained, rows, out, queue=queue, progress=False)
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.parquet")} == kept


@pytest.mark.parametrize("kind", ["csv", "frame", "nothing", "split"])
def test_every_kind_of_rows_is_cut(trained, rows, queue, toy, data, kind):
    out, overrides = toy.path / "scores", {}
    given = {"frame": data["test"], "nothing": data["test"].iloc[:0]}.get(kind)
    if kind == "csv":
        given = toy.path / "rows.csv"
        data["test"].to_csv(given, index=False)
    if kind == "split":
        data["test"].assign(day=np.arange(600) % 3).to_parquet(toy.path / "days.parquet", row_group_size=50)
        split = {"by": "column", "column": "day", "train": [0], "valid": [1], "test": [2]}
        overrides = {"data.train": {"type": "parquet", "path": str(toy.path / "days.parquet")}, "data.split": split}
    api.predict(trained, given, out, queue=queue, overrides=overrides, progress=False)
    whole, found = api.predict(trained, given, overrides=overrides), parts(out)
    assert found["row"].tolist() == whole["row"].tolist()
    assert len(found) == {"nothing": 0, "split": 200}.get(kind, 600)
    np.testing.assert_allclose(found["click"], whole["click"], rtol=1e-5)


def test_bad_rows_cost_their_slice_alone_and_what_was_mended_is_other_work(trained, queue, toy, data):
    bad = data["test"].assign(price=data["test"]["price"].astype(str))
    bad.loc[250, "price"] = "cheap"
    path, out = toy.path / "bad.parquet", toy.path / "scores"
    bad.to_parquet(path, row_group_size=50)
    with pytest.raises(QueueError, match=r"1 of 6 slices failed.*\n  00002, tried 3 times: .*bad\.parquet, row 250"):
        api.predict(trained, path, out, queue=queue, progress=False)
    assert sorted(path.stem for path in out.glob("*.parquet")) == ["00000", "00001", "00003", "00004", "00005"]
    data["test"].to_parquet(path, row_group_size=50)
    with pytest.raises(RunError, match=r"holds parts of other work \(rows differ\)"):
        api.predict(trained, path, out, queue=queue, progress=False)
    skipped = {"data.bad_rows": "skip"}
    bad.to_parquet(path, row_group_size=50)
    more = queue | {"name": "skipped"}
    api.predict(trained, path, toy.path / "skipped", queue=more, overrides=skipped, progress=False)
    assert parts(toy.path / "skipped")["row"].tolist() == [row for row in range(600) if row != 250]


def test_other_weights_are_other_work(trained, rows, queue, toy):
    api.predict(trained, rows, toy.path / "scores", queue=queue, progress=False)
    toy.trainer(run="more", train__epochs=2).fit()
    with pytest.raises(RunError, match=r"other work \(model differ\)"):
        api.predict(toy.path / "more", rows, toy.path / "scores", queue=queue, progress=False)
    with pytest.raises(QueueError, match="holds other work"):
        api.predict(toy.path / "more", rows, toy.path / "others", queue=queue, progress=False)


@pytest.mark.parametrize("output", [None, "scores.parquet", "scores.CSV"])
def test_the_output_of_several_workers_is_a_folder(trained, rows, queue, output):
    with pytest.raises(ConfigError, match="with a queue it is a folder"):
        api.predict(trained, rows, output, queue=queue)


def test_a_missing_column_ends_the_worker_at_once(trained, queue, toy, data):
    with pytest.raises(ConfigError, match="price"):
        api.predict(trained, data["test"].drop(columns="price"), toy.path / "scores", queue=queue, progress=False)
    assert queue_config(queue).open().status().counts == {"waiting": 1}


@pytest.mark.slow
def test_commands_in_several_processes_share_the_rows(trained, rows, toy):
    words = ["predict", "-c", "run", "--input", "rows.parquet", "--output", "scores", "--queue", "sqlite:q.db"]
    words += ["--slice-rows", "50", "--lease-seconds", "60"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    options = {"cwd": toy.path, "env": env, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen([sys.executable, "-m", "easyrec", *words], **options) for _ in range(2)]
    told = [worker.communicate() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], told
    assert [out.strip() for out, _ in told] == ["scores", "scores"]
    assert parts(toy.path / "scores")["row"].tolist() == list(range(600))
    assert "12 slices with 600 rows are there" in told[0][1]
