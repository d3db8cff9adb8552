import copy
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from easyrec.config import load_experiment
from easyrec.train.trainer import Trainer

CONFIG = {
    "name": "toy",
    "data": {"labels": ["click", "buy"], "batch_size": 64, "shuffle": {"buffer_rows": 500}, "reserved": ["row"]},
    "features": [
        {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": 40},
        {"type": "id", "name": "item_id", "expression": "item:item_id", "num_buckets": 30},
        {"type": "raw", "name": "price", "expression": "item:price"},
    ],
    "model": {"type": "deepfm", "embedding_dim": 8, "hidden": [16, 8], "dropout": 0.1},
    "train": {
        "epochs": 2,
        "threads": 1,
        "log_every": 10,
        "sparse_optimizer": {"type": "lazy_adam", "lr": 0.02},
        "dense_optimizer": {"type": "adam", "lr": 0.005},
    },
}

DYNAMIC = [
    {
        "type": "id",
        "name": "user_id",
        "expression": "user:user_id",
        "dynamic": {"capacity": 25, "admission": {"min_count": 2}, "eviction": {"policy": "lfu"}},
    },
    {
        "type": "id",
        "name": "item_id",
        "expression": "item:item_id",
        "dynamic": {"capacity": 20, "admission": {"probability": 0.5}, "eviction": {"policy": "ttl", "ttl": 2}},
    },
    {"type": "raw", "name": "price", "expression": "item:price"},
]
"""The features of `CONFIG` with dynamic tables, whose ids come and go."""


def rows(number, seed):
    """Clicks of users on items: a logistic function of the user, the item and its price, so learnable."""
    random = np.random.default_rng(seed)
    taste, appeal = np.random.default_rng(9).normal(0, 1.2, 40), np.random.default_rng(8).normal(0, 1.2, 30)
    user, item = random.integers(0, 40, number), random.integers(0, 30, number)
    price = random.normal(0, 1, number).astype(np.float32)
    click = random.random(number) < 1 / (1 + np.exp(0.5 - taste[user] - appeal[item] - 0.8 * price))
    buy = click & (random.random(number) < 0.2 + 0.6 * (item % 2))
    return pd.DataFrame(
        {
            "user_id": user,
            "item_id": item,
            "price": price,
            "click": click.astype(np.int64),
            "buy": buy.astype(np.int64),
            "weight": random.random(number).astype(np.float32) + 0.5,
            "row": np.arange(number),
        }
    )


@pytest.fixture(scope="session")
def data():
    return {"train": rows(1000, 1), "valid": rows(600, 2), "test": rows(600, 3)}


@pytest.fixture(scope="session")
def toy_experiment():
    """`(**settings)`: the toy experiment, `__` in a setting's name standing for a dot."""

    def experiment(**settings):
        return load_experiment(copy.deepcopy(CONFIG), {k.replace("__", "."): v for k, v in settings.items()})

    return experiment


@pytest.fixture
def toy(tmp_path, data, toy_experiment):
    """`trainer(**settings)`: a Trainer of the toy experiment."""
    experiment = toy_experiment

    def trainer(run="run", kind=Trainer, data=data, resume=False, overwrite=False, export=False, **settings):
        options = {"data": data, "resume": resume, "overwrite": overwrite, "export": export, "bar": False}
        return kind(experiment(**settings), tmp_path / run, **options)

    return SimpleNamespace(
        config=CONFIG, dynamic=DYNAMIC, experiment=experiment, trainer=trainer, path=tmp_path, rows=rows
    )


@pytest.fixture
def there(other_device, monkeypatch):
    """Makes a Trainer whose dense part is on the other device."""

    def made(*args, **options):
        with monkeypatch.context() as patch:
            patch.setattr("easyrec.train.trainer.open_device", lambda name: other_device)
            return Trainer(*args, **options)

    return made
