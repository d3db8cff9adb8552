import copy

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("optuna", reason="needs the extra 'tune'")

CONFIG = {
    "name": "toy",
    "data": {"labels": ["click"], "batch_size": 64, "shuffle": {"buffer_rows": 500}},
    "features": [
        {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": 40},
        {"type": "id", "name": "item_id", "expression": "item:item_id", "num_buckets": 30},
    ],
    "model": {"type": "fm", "embedding_dim": 4},
    "train": {"epochs": 2, "threads": 1, "sparse_optimizer": {"type": "lazy_adam", "lr": {"log": [0.001, 0.3]}}},
    "tune": {"budget": {"trials": 3}},
}


def rows(number, seed):
    """Clicks of users on items: learnable, the better the more it is learned."""
    random = np.random.default_rng(seed)
    taste, appeal = np.random.default_rng(9).normal(0, 1.2, 40), np.random.default_rng(8).normal(0, 1.2, 30)
    user, item = random.integers(0, 40, number), random.integers(0, 30, number)
    click = random.random(number) < 1 / (1 + np.exp(0.5 - taste[user] - appeal[item]))
    return pd.DataFrame({"user_id": user, "item_id": item, "click": click.astype(np.int64)})


@pytest.fixture(scope="session")
def data():
    return {"train": rows(600, 1), "valid": rows(400, 2)}


@pytest.fixture(scope="session")
def written():
    """The toy config, which nobody changes."""
    return CONFIG


@pytest.fixture
def config():
    return copy.deepcopy(CONFIG)


@pytest.fixture
def files(tmp_path, data, config):
    """The config as a file over parquet files, for processes."""
    import yaml

    for name, frame in data.items():
        frame.to_parquet(tmp_path / f"{name}.parquet")
        config["data"][name] = {"type": "parquet", "path": str(tmp_path / f"{name}.parquet")}

    def written(**settings):
        for path, value in settings.items():
            node = config
            *above, last = path.split("__")
            for key in above:
                node = node.setdefault(key, {})
            node[last] = value
        (tmp_path / "toy.yaml").write_text(yaml.safe_dump(config))
        return tmp_path / "toy.yaml"

    return written
