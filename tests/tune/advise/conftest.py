"""Rows and configs in which nothing is wrong, for tests to plant a fault in."""

import copy

import numpy as np
import pandas as pd
import pytest

import easyrec

CONFIG = {
    "name": "toy",
    "data": {"labels": ["click"], "batch_size": 256},
    "features": [
        {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": 400},
        {"type": "id", "name": "city", "expression": "user:city", "hash_bucket_size": 1000},
        {"type": "id", "name": "color", "expression": "item:color", "vocab_list": ["red", "green", "blue"]},
        {"type": "raw", "name": "price", "expression": "item:price", "boundaries": [2, 4, 6, 8]},
    ],
    "model": {"type": "deepfm", "embedding_dim": 4, "hidden": [8]},
    "train": {
        "epochs": 2,
        "sparse_optimizer": {"type": "lazy_adam", "lr": 0.01},
        "dense_optimizer": {"type": "adam", "lr": 0.001},
    },
}


def healthy(rows, seed, day=0):
    """Clicks at a tenth of all exposures, on users, cities, colors and prices that have something to do with them."""
    random = np.random.default_rng(seed)
    user, price = random.integers(0, 400, rows), random.uniform(0, 10, rows)
    taste = np.random.default_rng(9).normal(0, 1, 400)
    click = random.random(rows) < 1 / (1 + np.exp(2.7 - taste[user] + (price - 5) / 5))
    return pd.DataFrame(
        {
            "user_id": user,
            "city": [f"c{number}" for number in (np.minimum(random.pareto(1.0, rows) * 3, 60)).astype(int)],
            "color": random.choice(["red", "green", "blue"], rows),
            "price": price,
            "timestamp": 86_400 * day + np.sort(random.integers(0, 86_400, rows)),
            "click": click.astype(np.int64),
        }
    )


@pytest.fixture(scope="session")
def sound():
    return {"train": healthy(6000, 1), "valid": healthy(3000, 2, day=1)}


@pytest.fixture
def data(sound):
    return {name: frame.copy() for name, frame in sound.items()}


@pytest.fixture
def config():
    return copy.deepcopy(CONFIG)


@pytest.fixture
def told(config, data, tmp_path, monkeypatch):
    """`(**settings)`: the proposals about the toy, by their keys."""
    monkeypatch.chdir(tmp_path)  # where runs/ may lie

    def advise(*, steps=0, **settings):
        found = easyrec.advise(config, data=data, steps=steps, **settings)
        return {proposal.key: proposal for proposal in found.proposals}

    return advise
