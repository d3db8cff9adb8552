"""Inputs that are looked up once: a permuted feature gives what the model gives of permuted rows."""

import numpy as np
import pandas as pd
import pytest
import torch

from easyrec.config import load_experiment
from easyrec.data import make_loader, open_sources
from easyrec.train.trainer import Trainer
from easyrec.tune.select.activations import Activations

ROWS = 60
ON = "cuda" if torch.cuda.is_available() else "cpu"


def frame(seed):
    random = np.random.default_rng(seed)
    lists = [random.integers(0, 30, n).tolist() for n in random.integers(0, 6, ROWS)]
    return pd.DataFrame(
        {
            "user": random.integers(0, 20, ROWS),
            "item": random.integers(0, 30, ROWS),
            "price": random.normal(size=ROWS),
            "age": random.normal(size=ROWS),
            "clicks__item": lists,
            "clicks__cate": [[i % 10 for i in one] for one in lists],
            "day": random.integers(0, 3, ROWS),
            "click": random.integers(0, 2, ROWS),
        }
    )


FEATURES = [
    {"type": "id", "name": "user", "expression": "user:user", "num_buckets": 20},
    {"type": "id", "name": "item", "expression": "item:item", "num_buckets": 30},
    {"type": "raw", "name": "price", "expression": "item:price"},
    {"type": "raw", "name": "age", "expression": "user:age", "embedding_dim": 4, "dense_embedding": "autodis"},
    {
        "type": "sequence",
        "name": "clicks",
        "features": [
            {"type": "id", "name": "item", "expression": "item:item", "embedding_name": "item", "num_buckets": 30},
            {"type": "id", "name": "cate", "expression": "item:cate", "num_buckets": 10},
        ],
    },
]
GROUPS = {
    "deep": {"features": ["user", "item", "price", "age"], "sequences": [{"sequence": "clicks", "encoder": "din"}]}
}
WIDE = {"wide": ["user", "item", "price"]}


@pytest.fixture(scope="module", params=["din", "wide_and_deep"])
def kept(request, tmp_path_factory):
    groups = GROUPS if request.param == "din" else {**GROUPS, **WIDE}
    config = {
        "name": "toy",
        "data": {"labels": ["click"], "batch_size": 16, "eval_batch_size": 7},
        "features": FEATURES,
        "model": {
            "type": request.param,
            "embedding_dim": 4,
            "hidden": [8],
            "groups": groups,
            "embedding_init": {"type": "normal", "std": 0.5},
        },
        "train": {"epochs": 1, "threads": 1, "device": ON},
        "eval": {"metrics": ["auc", {"type": "gauc", "by": "day"}], "slices": ["day"]},
    }
    folder, rows = tmp_path_factory.mktemp("kept"), {"train": frame(1), "valid": frame(2)}
    experiment = load_experiment(config)
    Trainer(experiment, folder, data=rows, bar=False, export=False).fit()
    rows["valid"].to_parquet(folder / "valid.parquet")
    config["data"]["valid"] = {"type": "parquet", "path": str(folder / "valid.parquet")}
    found = Activations.of(load_experiment(config), folder, 10_000)
    return found, load_experiment(config), rows["valid"]


def scored(kept, experiment, rows):
    part = open_sources(experiment, {"valid": rows}).valid
    predictions = [kept.scorer.predict(batch)["click"] for batch in make_loader(experiment, part, training=False)]
    return np.concatenate(predictions)


def test_untouched_inputs_give_what_the_model_gives(kept):
    found, experiment, rows = kept
    np.testing.assert_allclose(found.scores()["click"], scored(found, experiment, rows), rtol=1e-5)
    assert list(found.measure()) == ["auc"]
    (drop,) = found.drops(found.measure(), ["user"], (1,))
    assert drop == found.measure()["auc"] - found.measure(["user"], (1,))["auc"]


@pytest.mark.parametrize(
    "features",
    [["user"], ["price"], ["age"], ["item", "price"], ["clicks__item", "clicks__cate"]],
    ids=["field", "number", "module", "two", "sequence"],
)
def test_a_feature_at_other_rows_is_what_the_model_sees_of_rows_where_it_is(kept, features):
    found, experiment, rows = kept
    order = np.random.default_rng([7, 3, 4]).permutation(ROWS)
    moved = rows.copy()
    for feature in features:
        moved[feature] = rows[feature].to_numpy()[order]
    np.testing.assert_allclose(found.scores(features, (3, 4))["click"], scored(found, experiment, moved), rtol=1e-4)


def test_a_child_of_a_sequence_changes_steps_and_no_lengths(kept):
    found, _, _ = kept
    key = next(key for key in found.tensors if key.startswith("seq:"))
    before = {name: tensor.clone() for name, tensor in found.tensors.items()}
    with found.permuted({"clicks__cate"}, np.random.default_rng(0)) as moved:
        assert torch.equal(moved[key][:, :4], before[key][:, :4])
        assert not torch.equal(moved[key][:, 4:], before[key][:, 4:])
        torch.testing.assert_close(moved[key].sum(0), before[key].sum(0), atol=1e-4, rtol=0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in found.tensors.items())
