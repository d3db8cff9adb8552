"""From nothing to an engine that simulated users ask: what `bootstrap` writes trains, serves, and is driven."""

import json
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import easyrec
from easyrec.cli import main
from easyrec.off_policy.log import read_log
from easyrec.simulate.bootstrap import bootstrap
from easyrec.simulate.config import load_simulate

CONFIG = {
    "name": "small",
    "world": {"users": 200, "items": 150, "days": 2, "new_items_per_day": 5, "ctr": 0.15},
    "drive": {"requests_per_day": 150, "size": 5, "scene": "feed", "wait_s": 2},
    "bootstrap": {"days": 2, "requests_per_day": 1500, "policy": {"type": "segments"}},
}


@pytest.mark.slow
def test_what_bootstrap_writes_becomes_an_engine_that_is_driven(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    bootstrap(load_simulate(CONFIG), tmp_path)
    small = {"train.epochs": 1}
    assert easyrec.train("experiment.yaml", overrides=small, progress=False).metrics["valid"]["ctr/auc"] > 0.55
    easyrec.train("towers.yaml", overrides=small, progress=False)
    easyrec.embed("towers.yaml")
    assert main(["train", "-c", "near.yaml"]) == 0
    words = [sys.executable, "-m", "easyrec", "engine", "serve", "-c", "engine.yaml", "-o", "port=0"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        told = next(json.loads(line) for line in server.stderr if '"listening"' in line)
        url = f"drive.url=http://{told['host']}:{told['port']}"
        next(line for line in server.stderr if '"ready"' in line)
        assert main(["simulate", "-c", "simulate.yaml", "-o", url, "--run-dir", "run"]) == 0
    finally:
        server.terminate()
        rest = server.communicate(timeout=60)[1]
    days = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [(day["errors"], day["short"]) for day in days] == [(0, 0), (0, 0)], rest
    assert all(day["expected_ctr"] > 0.1 * day["oracle_ctr"] for day in days)
    assert days[-1]["new_share"] > 0  # the engine has read the catalogue with the new items
    for file in (tmp_path / "logs").glob("*-first.jsonl"):
        file.unlink()
    shown = read_log(tmp_path / "logs")  # what the engine wrote, not what bootstrap did
    assert shown.there.shape == (300, 5)
    assert shown.reward.sum() == sum(day["clicks"] for day in days)
    assert set(shown.propensity[shown.there].round(2)) > {0.9}
    scores = {
        "request_id": shown.requests.to_pylist() * 5,
        "item_id": [item for column in shown.item.T for item in column],
        "score": [-float(position) for position in range(5) for _ in range(300)],
    }
    pq.write_table(pa.table(scores), "scores.parquet")
    capsys.readouterr()
    assert main(["engine", "off-policy", "--log", "logs", "--policy", "scores.parquet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["estimates"][0]["rows"] == 300
