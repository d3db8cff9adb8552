"""Searches as processes: killed at any moment and gone on with, and by several workers at once."""

import csv
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from easyrec.config import load_experiment

TRIALS = 8


def started(file, folder):
    command = [sys.executable, "-m", "easyrec", "tune", "-c", str(file), "--run-dir", str(folder), "--no-bar"]
    with log_of(folder).open("w") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def log_of(folder):
    return folder.with_suffix(".log")


def told_by(process, folder):
    """What it says until it ends."""
    process.wait()
    return log_of(folder).read_text()


def rows(folder):
    with (folder / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def wait_for(number, folder, process):
    """Until so many trials have ended, and another one runs."""
    while process.poll() is None:
        if (folder / "trials.csv").exists() and sum(r["state"] != "running" for r in rows(folder)) >= number:
            return
        time.sleep(0.02)
    pytest.fail(f"ended before: {log_of(folder).read_text()}")


def ended_alone(folder):
    """Until no worker of a leader that was killed lives."""
    while True:
        told = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        if not re.search(rf"easyrec\.tune\.work {folder} ", told):
            return
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "shares"), [(1, None), (2, None), (2, [0.2, 0.5, 1.0])])
def test_a_search_that_is_killed_goes_on_and_loses_the_running_trials_alone(files, tmp_path, workers, shares):
    settings = {"tune__workers": workers, "tune__rows": shares, "train__epochs": 30}
    file, folder = files(tune__budget={"trials": TRIALS}, **settings), tmp_path / "study"
    process = started(file, folder)
    wait_for(2, folder, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    ended_alone(folder)
    before = {r["trial"]: r for r in rows(folder) if r["state"] in ("complete", "pruned")}
    assert load_experiment(folder / "best.yaml").name == "toy"

    told = told_by(started(file, folder), folder)
    after = {r["trial"]: r for r in rows(folder)}
    kept = {number: {key: after[number][key] for key in row} for number, row in before.items()}
    assert kept == before, told
    interrupted = [r for r in after.values() if r["state"] == "interrupted"]
    assert len(interrupted) <= workers
    ended = [r for r in after.values() if r["state"] in ("complete", "pruned")]
    assert len(ended) == TRIALS, told
    points = [r["train.sparse_optimizer.lr"] for r in ended]
    assert len(set(points)) == TRIALS
    drawn = {r["train.sparse_optimizer.lr"] for r in interrupted} - {""}  # killed before it had a point
    assert drawn <= set(points)
    assert (folder / "report.html").exists()


@pytest.mark.slow
def test_two_workers_try_each_point_of_a_small_space_once(files, tmp_path):
    space = {"choice": [0.01, 0.03, 0.1, 0.2, 0.3]}
    file = files(
        tune__budget={"trials": 20}, tune__workers=2, train__sparse_optimizer={"type": "lazy_adam", "lr": space}
    )
    process = started(file, tmp_path / "study")
    told = told_by(process, tmp_path / "study")
    assert process.returncode == 0, told
    assert sorted(r["train.sparse_optimizer.lr"] for r in rows(tmp_path / "study")) == [
        "0.01",
        "0.03",
        "0.1",
        "0.2",
        "0.3",
    ]


@pytest.mark.slow
def test_a_signal_reaches_the_workers(files, tmp_path):
    folder = tmp_path / "study"
    process = started(files(tune__budget={"trials": 50}, tune__workers=2, train__epochs=20), folder)
    wait_for(2, folder, process)
    process.send_signal(signal.SIGTERM)
    told = told_by(process, folder)
    assert process.returncode == 130, told
    assert "To go on: the same command" in told
    assert {r["state"] for r in rows(folder)} <= {"complete", "pruned", "interrupted"}


@pytest.mark.slow
def test_a_study_in_postgres_is_gone_on_with_from_another_folder(files, tmp_path, postgres, monkeypatch):
    pytest.importorskip("psycopg", reason="needs the extra 'tune'")
    monkeypatch.setenv("STUDY", postgres)
    file = files(tune__budget={"trials": 2}, tune__study={"url": "${STUDY}", "name": "shared"}, tune__workers=2)
    first = told_by(started(file, tmp_path / "one"), tmp_path / "one")
    assert len(rows(tmp_path / "one")) == 2, first
    more = files(tune__budget={"trials": 4})
    second = told_by(started(more, tmp_path / "two"), tmp_path / "two")
    assert [r["trial"] for r in rows(tmp_path / "two")] == ["0", "1", "2", "3"], second
    secret = re.search(r":(\S+)@", postgres)[1]
    written = "".join(p.read_text(errors="ignore") for p in (tmp_path / "one").rglob("*") if p.is_file())
    assert secret not in first + second + written


def test_a_database_that_is_not_there_is_told_without_its_password(files, tmp_path):
    pytest.importorskip("psycopg", reason="needs the extra 'tune'")
    from easyrec.errors import TuneError
    from easyrec.tune.api import tune

    file = files(tune__study="postgresql://app:s3cret@127.0.0.1:1/none")
    with pytest.raises(TuneError, match=r"postgresql://127\.0\.0\.1/none: the study cannot be used") as caught:
        tune(file, run_dir=tmp_path / "s")
    assert "s3cret" not in str(caught.value)
