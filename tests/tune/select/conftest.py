import copy

import numpy as np
import pandas as pd
import pytest


def rows(number, seed):
    """Clicks of users on items, whose id stands there twice under other numbers, beside noise."""
    random = np.random.default_rng(seed)
    taste, appeal = np.random.default_rng(9).normal(0, 1.2, 40), np.random.default_rng(8).normal(0, 1.2, 30)
    user, item = random.integers(0, 40, number), random.integers(0, 30, number)
    click = random.random(number) < 1 / (1 + np.exp(0.5 - taste[user] - appeal[item]))
    return pd.DataFrame(
        {
            "user_id": user,
            "item_id": item,
            "again": (item * 7 + 3) % 30,
            "few": random.integers(0, 5, number),
            "many": random.integers(0, 60, number),
            "number": random.normal(size=number),
            "click": click.astype(np.int64),
        }
    )


IDS = {
    "user_id": ("user", 40),
    "item_id": ("item", 30),
    "again": ("item", 30),
    "few": ("user", 5),
    "many": ("item", 60),
}
CONFIG = {
    "name": "toy",
    "data": {"labels": ["click"], "batch_size": 64},
    "features": [
        *(
            {"type": "id", "name": name, "expression": f"{side}:{name}", "num_buckets": size}
            for name, (side, size) in IDS.items()
        ),
        {"type": "raw", "name": "number", "expression": "item:number"},
    ],
    "model": {"type": "deepfm", "embedding_dim": 4, "hidden": [8]},
    "train": {
        "epochs": 1,
        "threads": 1,
        "sparse_optimizer": {"type": "lazy_adam", "lr": 0.03},
        "dense_optimizer": {"type": "adam", "lr": 0.01},
    },
    "select": {"verify": False, "second_look": False},
}


@pytest.fixture(scope="session")
def shop_rows():
    return {"train": rows(3000, 1), "valid": rows(2000, 2)}


@pytest.fixture(scope="session")
def plain_config():
    return copy.deepcopy(CONFIG)


@pytest.fixture
def config():
    return copy.deepcopy(CONFIG)
