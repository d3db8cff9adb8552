"""Profiles tell where the time of steps goes, and leave training as it is."""

import json

import pytest

from easyrec.cli import main
from easyrec.train.profiling import WARM_UP, read_profile
from easyrec.train.trainer import Trainer

PARTS = ["waiting for data", "lookup", "forward", "losses", "backward", "regularizer and clipping"]
PARTS += ["update of the dense part", "update of the tables", "other"]


def profiled(toy, run, steps, **settings):
    class Profiled(Trainer):
        def __init__(self, *args, **options):
            super().__init__(*args, **options, profile=steps)

    return toy.trainer(run=run, kind=Profiled, **settings)


def test_the_parts_are_the_whole(toy):
    run = profiled(toy, "run", 8, train__epochs=3, train__grad_clip=1.0).fit()
    told = read_profile(run.path)
    assert told["steps"] == 8
    assert set(told["parts"]) == set(PARTS)
    assert sum(told["parts"].values()) == pytest.approx(told["seconds"], rel=0.01)
    assert all(seconds > 0 for part, seconds in told["parts"].items() if part != "waiting for data")
    assert set(told["reader"]) == {"reading", "features", "batches"}
    trace = json.loads((run.path / "profile" / "trace.json").read_text())
    names = [event.get("name") for event in trace["traceEvents"]]
    assert names.count("easyrec: lookup") == 8


def test_training_is_what_it_is_without(toy):
    plain = toy.trainer(run="plain", train__epochs=3).fit()
    run = profiled(toy, "run", 5, train__epochs=3).fit()
    assert {**run.metrics, "seconds": 0} == {**plain.metrics, "seconds": 0}
    assert (run.path / "metrics.jsonl").read_bytes() == (plain.path / "metrics.jsonl").read_bytes()


def test_a_training_that_is_too_short_says_so(toy, caplog):
    run = profiled(toy, "run", 5, train__steps=WARM_UP).fit()
    assert "nothing was profiled" in caplog.text
    assert read_profile(run.path) is None


def test_a_training_that_ends_early_tells_what_there_was(toy):
    run = profiled(toy, "run", 500, train__steps=WARM_UP + 7, train__epochs=4).fit()
    assert read_profile(run.path)["steps"] == 7


def test_the_command_prints_the_table(toy, tmp_path, capsys, monkeypatch):
    config = """
name: toy
data: {train: {type: synthetic, name: shop, rows: 20000, seed: 1}, labels: [click], batch_size: 400}
features:
  - {type: id, name: user_id, expression: "user:user_id", dynamic: {capacity: 500}}
model: {type: lr}
"""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(config)
    assert main(["train", "-c", "c.yaml", "--profile", "6", "--no-bar"]) == 0
    told = capsys.readouterr()
    assert "update of the tables" in told.out + told.err
    assert (tmp_path / "runs" / "toy" / "profile" / "trace.json").exists()
