"""Training with the dense part on another device: what is learned is what the CPU learns."""

import numpy as np
import pytest
import torch

import easyrec
from easyrec.cli import main
from easyrec.errors import ConfigError
from easyrec.train.trainer import Trainer
from serving import Predictor

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
SETTINGS = [
    {},
    {"train__ema": {"decay": 0.9}, "train__metrics": ["auc"]},
    {"train__dense_optimizer": {"type": "adagrad", "lr": 0.05}, "train__grad_clip": {"norm": 1.0, "value": 0.1}},
    {"train__dense_optimizer": {"type": "sgd", "lr": 0.05, "momentum": 0.9}},
]
STATISTIC = {
    "model": {"type": "popularity", "groups": {"user": ["user_id"], "item": ["item_id"]}},
    "data__labels": [],
    "eval__retrieval": {},
}
WEIGHTINGS = ["uncertainty", "gradnorm", "pcgrad", "mgda"]


@pytest.mark.parametrize("settings", SETTINGS, ids=["adam", "averages", "adagrad-clipped", "momentum"])
def test_another_device_learns_what_the_cpu_learns(toy, there, settings):
    settings = {"model__dropout": 0.0, "data__sample_weight": "weight", **settings}
    one = toy.trainer("one", **settings).fit()
    other = toy.trainer("other", there, export=True, **settings).fit()
    for part in ("valid", "test"):
        assert other.metrics[part] == pytest.approx(one.metrics[part], abs=2e-3)
    rows = toy.rows(20, 7)
    scores = Predictor.load(other.bundle).predict_batch(rows)
    told = easyrec.predict(other.path, rows)
    np.testing.assert_allclose(told["click"], scores["click"], rtol=1e-5)


@pytest.mark.parametrize("tables", ["processor", "device"])
def test_dynamic_tables_learn_the_same_wherever_they_are(toy, there, tables):
    settings = {"features": toy.dynamic, "model__dropout": 0.0}
    one = toy.trainer("one", **settings)
    other = toy.trainer("other", there, train__device="cuda", train__tables=tables, export=True, **settings)
    runs = one.fit(), other.fit()
    assert runs[1].metrics["valid"] == pytest.approx(runs[0].metrics["valid"], abs=2e-3)
    for name, keys in one.collection.tables.keys.items():
        for mine, theirs in zip(keys.held(), other.collection.tables.keys[name].held(), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_tables_that_a_device_cannot_have_are_told(toy, there):
    with pytest.raises(ConfigError, match="storage keeps some of their rows on disk"):
        toy.trainer("run", there, train__tables="device", train__device="cuda", train__storage={"memory_mb": 64})
    with pytest.raises(ConfigError, match="'tables: device' needs a device: set 'device'"):
        toy.experiment(train__tables="device")


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_tasks_are_weighed_on_another_device(toy, there, weighting):
    tasks = [{"name": name, "label": name} for name in ("click", "buy")]
    settings = {"model": {"type": "shared_bottom", "embedding_dim": 8, "tasks": tasks}, "train__epochs": 1}
    settings |= {"train__task_weighting": weighting, "train__grad_clip": 1.0, "eval__metrics": ["auc"]}
    one, other = toy.trainer("one", **settings).fit(), toy.trainer("other", there, **settings).fit()
    assert other.metrics["valid"] == pytest.approx(one.metrics["valid"], abs=2e-3)


@pytest.mark.parametrize("ways", ["there-there", "here-there", "there-here"])
@pytest.mark.parametrize("optimizer", ["adam", "adagrad"])
def test_a_run_goes_on_on_either_device(toy, there, ways, optimizer):
    settings = {"model__dropout": 0.0, "train__ema": {"decay": 0.9}, "train__dense_optimizer": {"type": optimizer}}
    first, second = ({"here": Trainer, "there": there}[way] for way in ways.split("-"))
    whole = toy.trainer("whole", there, **settings).fit()
    toy.trainer("parts", first, train__epochs=1, **settings).fit()
    resumed = toy.trainer("parts", second, resume=True, **settings).fit()
    assert resumed.metrics["valid"] == pytest.approx(whole.metrics["valid"], abs=0 if first is second else 1e-3)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda :0", ""])
def test_a_device_that_is_none_is_told_with_those_that_are(toy, name):
    with pytest.raises(ConfigError, match=rf"must be 'cpu', 'cuda' or 'cuda:<number>', but is '{name}'"):
        toy.experiment(train__device=name)


def test_statistics_take_no_device(toy):
    with pytest.raises(ConfigError, match="'popularity' is counted on the processor: leave 'device' out"):
        toy.experiment(train__device="cuda", **STATISTIC)


def test_a_gpu_that_is_not_there_is_told(toy):
    number = torch.cuda.device_count() if torch.cuda.is_available() else 0
    with pytest.raises(ConfigError, match=rf"there is no 'cuda:{number}'.*sees {number or 'no'} GPU") as told:
        toy.trainer(train__device=f"cuda:{number}")
    assert told.value.problems[0].where == "train . device"


@GPU
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_learns_what_the_cpu_learns(toy, precision):
    settings = {"model__dropout": 0.0, "train__precision": precision}
    one, other = toy.trainer("one", **settings).fit(), toy.trainer("other", train__device="cuda", **settings).fit()
    assert other.metrics["valid"] == pytest.approx(one.metrics["valid"], abs=5e-3)


@GPU
def test_a_resumed_run_on_a_gpu_draws_what_one_that_never_stopped_draws(toy):
    settings = {"train__device": "cuda", "model__dropout": 0.3}
    whole = toy.trainer("whole", **settings).fit()
    toy.trainer("parts", train__epochs=1, **settings).fit()
    resumed = toy.trainer("parts", resume=True, **settings).fit()
    assert resumed.metrics["valid"] == pytest.approx(whole.metrics["valid"], abs=1e-5)


def test_check_tells_of_a_gpu_that_is_not_there(toy, data, tmp_path, capsys):
    number = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for name, frame in data.items():
        frame.to_parquet(tmp_path / f"{name}.parquet")
    parts = {f"data.{name}": {"type": "parquet", "path": str(tmp_path / f"{name}.parquet")} for name in data}
    config = toy.experiment(train__device=f"cuda:{number}", **{k.replace(".", "__"): v for k, v in parts.items()})
    (tmp_path / "toy.yaml").write_text(config.to_yaml())
    assert main(["check", "-c", str(tmp_path / "toy.yaml")]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"train.device: there is no 'cuda:{number}'" in shown
