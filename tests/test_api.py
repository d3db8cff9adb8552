import copy
import inspect
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import easyrec
from easyrec.errors import ConfigError, RunError
from serving import Predictor

CONFIG = {
    "name": "clicks",
    "data": {"labels": ["click"], "batch_size": 100},
    "features": [
        {"type": "id", "name": "user", "expression": "user:user", "num_buckets": 20},
        {"type": "id", "name": "item", "expression": "item:item", "num_buckets": 15},
        {"type": "raw", "name": "price", "expression": "item:price"},
    ],
    "model": {"type": "deepfm", "embedding_dim": 4, "hidden": [8]},
    "train": {
        "threads": 1,
        "sparse_optimizer": {"type": "lazy_adam", "lr": 0.05},
        "dense_optimizer": {"type": "adam", "lr": 0.01},
    },
}


def frame(seed, number=1000):
    random = np.random.default_rng(seed)
    user, item = random.integers(0, 20, number), random.integers(0, 15, number)
    price = random.random(number).astype(np.float32)
    chance = 1 / (1 + np.exp(3 - 0.2 * user - 0.2 * (item % 7) - price))
    return pd.DataFrame({"user": user, "item": item, "price": price, "click": (random.random(number) < chance) * 1})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    data = {"train": frame(1), "valid": frame(2), "test": frame(3)}
    folder = tmp_path_factory.mktemp("runs") / "clicks"
    return easyrec.train(copy.deepcopy(CONFIG), data=data, overrides={"train.epochs": 3}, run_dir=folder)


def test_train_takes_a_dict_and_frames(run):
    assert run.metrics["test"]["auc"] > 0.6
    assert (run.path / "config.yaml").exists()
    assert run.bundle.is_dir()
    assert run.report.is_file()


def test_the_predictor_scores_as_the_trainer_did(run):
    rows = frame(4, 50)
    expected = easyrec.predict(run.path, rows)["click"].to_numpy()
    predictor = Predictor.load(run.bundle)
    items = rows[["item", "price"]].to_dict("records")
    scores = [
        predictor.predict(user={"user": int(user)}, items=[item])["click"][0]
        for user, item in zip(rows["user"], items, strict=True)
    ]
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_evaluate_and_export_take_the_run(run, tmp_path):
    data = {"test": frame(3)}
    assert easyrec.evaluate(run.path, data=data).metrics["test"] == run.metrics["test"]
    exported = easyrec.export(run.path, data={"train": frame(1)}, output=tmp_path / "bundle")
    assert exported.bundle == tmp_path / "bundle"
    assert Predictor.load(exported.bundle)


def test_train_takes_a_path_and_overrides_as_the_command_line_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, seed in (("train", 1), ("test", 3)):
        frame(seed, 300).to_parquet(f"{name}.parquet")
    config = copy.deepcopy(CONFIG)
    config["data"] |= {name: {"type": "parquet", "path": f"{name}.parquet"} for name in ("train", "test")}
    (tmp_path / "mine.yaml").write_text(json.dumps({**config, "name": None}))
    done = easyrec.train("mine.yaml", overrides=["train.steps=2"], export=False)
    assert done.path.as_posix() == "runs/mine"
    assert done.bundle is None
    assert done.metrics["best_step"] == 2
    with pytest.raises(RunError, match="exists"):
        easyrec.train("mine.yaml")


def test_a_bad_config_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="did you mean 'epochs'"):
        easyrec.train(copy.deepcopy(CONFIG), overrides={"train.epoch": 3}, data={"train": frame(1)})
    assert list(tmp_path.iterdir()) == []


def test_rooms_are_commands_whichever_way_they_are_reached():
    import easyrec.export.bundle
    import easyrec.train.trainer

    for room in (easyrec.train, easyrec.export):
        assert callable(room)
        assert "config" in inspect.signature(room).parameters
    assert easyrec.train.trainer.Trainer
    assert set(easyrec.__all__) <= set(dir(easyrec))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        easyrec.trian  # noqa: B018


def test_torch_is_loaded_by_use_and_not_by_import():
    code = "import easyrec, easyrec.train, easyrec.export, sys; easyrec.load_experiment; easyrec.Run; easyrec.train"
    code += "; assert 'torch' not in sys.modules; easyrec.evaluate; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
