"""Two-tower models against a catalogue: they learn, with losses of their own, and export as two bundles."""

import numpy as np
import pandas as pd
import pytest

import easyrec
from easyrec.config import load_experiment
from serving import Predictor

ITEMS, KINDS = 40, 5
CATALOGUE = pd.DataFrame({"item_id": np.arange(ITEMS), "cate": np.arange(ITEMS) % KINDS})
BASE = {
    "name": "towers",
    "data": {"sampler": {"type": "in_batch"}, "batch_size": 64},
    "features": [
        {"type": "id", "name": "item_id", "expression": "item:item_id", "num_buckets": ITEMS},
        {"type": "id", "name": "cate", "expression": "item:cate", "num_buckets": KINDS},
        {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": ITEMS},
        {"type": "id", "name": "hand", "expression": "user:hand", "num_buckets": ITEMS, "embedding_name": "item_id"},
        {
            "type": "id",
            "name": "hand_cate",
            "expression": "user:hand_cate",
            "num_buckets": KINDS,
            "embedding_name": "cate",
        },
    ],
    "train": {
        "epochs": 12,
        "threads": 1,
        "sparse_optimizer": {"type": "adam", "lr": 0.02},
        "dense_optimizer": {"type": "adam", "lr": 0.01},
    },
    "eval": {"retrieval": {"metrics": [{"type": "recall", "k": 8}]}},
}
MODELS = {
    "dat": {
        "groups": {
            "user": ["user_id"],
            "item": ["item_id", "cate"],
            "user_augmented": ["user_id"],
            "item_augmented": ["item_id"],
        },
        "category": "cate",
        "temperature": 0.2,
    },
    "co_metric_learning_i2i": {"groups": {"user": ["hand", "hand_cate"], "item": ["item_id", "cate"]}},
    "circle": {
        "type": "co_metric_learning_i2i",
        "groups": {"user": ["hand", "hand_cate"], "item": ["item_id", "cate"]},
        "loss": {"type": "circle"},
    },
    "parallel": {
        "type": "dssm",
        "groups": {"user": ["user_id"], "item": ["item_id", "cate"]},
        "temperature": 0.2,
        "parallel": [{"type": "mlp", "hidden": [16]}, {"type": "cross", "cross_layers": 1}, {"type": "plain"}],
    },
}


def pairs(rows, seed):
    """Users and items at hand go with items of the same kind."""
    random = np.random.default_rng(seed)
    hand = random.integers(0, ITEMS, rows)
    item = (hand + KINDS * random.integers(0, ITEMS // KINDS, rows)) % ITEMS
    return pd.DataFrame({"user_id": hand, "hand": hand, "hand_cate": hand % KINDS, "item_id": item})


@pytest.mark.parametrize("name", MODELS)
def test_items_of_the_same_kind_are_found_and_the_towers_are_two_bundles(name, tmp_path):
    keys = {"type": name, "embedding_dim": 8, "output_dim": 8, **MODELS[name]}
    keys |= {} if "parallel" in keys else {"hidden": [16]}
    data = {"train": pairs(2000, 1), "valid": pairs(200, 2), "items": CATALOGUE}
    run = easyrec.train({**BASE, "model": keys}, data=data, run_dir=tmp_path / "run", progress=False)
    assert run.metrics["valid"]["recall@8"] > 0.8  # there are 8 of a kind; by chance 0.2
    items = Predictor.load(run.path / "bundle" / "item").predict_batch(CATALOGUE)["vector"]
    user = Predictor.load(run.path / "bundle" / "user").predict_batch(pairs(1, 3).drop(columns="item_id"))["vector"][0]
    nearest = np.argsort(-(np.asarray(items) @ np.asarray(user)))[:8]
    assert (nearest % KINDS == int(pairs(1, 3)["hand_cate"][0])).mean() > 0.7


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_items_of_the_same_kind_are_found_on_another_device(name, tmp_path, there):
    keys = {"type": name, "embedding_dim": 8, "output_dim": 8, **MODELS[name]}
    keys |= {} if "parallel" in keys else {"hidden": [16]}
    metrics = [{"type": "recall", "k": 8}, {"type": "sampled_recall", "k": 2, "negatives": 10}]
    config = {**BASE, "model": keys, "eval": {"retrieval": {"metrics": metrics, "exclude": "hand"}}}
    data = {"train": pairs(2000, 1), "valid": pairs(200, 2), "items": CATALOGUE}
    run = there(load_experiment(config), tmp_path / "run", data=data, bar=False).fit()
    assert run.metrics["valid"]["recall@8"] > 0.8
    again = easyrec.evaluate(run.path, data=data)
    assert again.metrics["valid"] == pytest.approx(run.metrics["valid"], abs=0.02)
