"""A toy shop: raw rows with every kind of column, and a model with weights that matter, for each model type."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from easyrec import models
from easyrec.batch import Batch
from easyrec.config import Experiment, load_experiment
from easyrec.config.train import SGD
from easyrec.embedding.collection import EmbeddingCollection
from easyrec.embedding.plan import plan_embeddings
from easyrec.export import export_bundle
from easyrec.train.objective import Objective
from easyrec.train.scorer import Scorer, task_scorings

FEATURES = [
    {"type": "id", "name": "user_id", "expression": "user:user_id", "hash_bucket_size": 1000},
    {"type": "id", "name": "level", "expression": "user:level", "num_buckets": 5, "default_value": "0"},
    {"type": "id", "name": "item_id", "expression": "item:item_id", "hash_bucket_size": 1000},
    {"type": "id", "name": "cate", "expression": "item:cate", "vocab_list": ["book", "toy", "food"]},
    {"type": "id", "name": "tags", "expression": "item:tags", "hash_bucket_size": 50, "pooling": "mean"},
    {"type": "raw", "name": "price", "expression": "item:price", "boundaries": [1, 5, 20]},
    {"type": "combo", "name": "level_x_cate", "expression": ["user:level", "item:cate"], "hash_bucket_size": 100},
    {"type": "id", "name": "scene", "expression": "context:scene", "hash_bucket_size": 10},
    {"type": "raw", "name": "score", "expression": "item:score", "normalizer": "method=zscore,mean=1,standard_deviation=2"},
    {
        "type": "sequence",
        "name": "click_seq",
        "sequence_length": 6,
        "features": [
            {"type": "id", "name": "item_id", "expression": "item:item_id", "embedding_name": "item_id", "hash_bucket_size": 1000},
            {"type": "id", "name": "cate", "expression": "item:cate", "embedding_name": "cate", "vocab_list": ["book", "toy", "food"]},
        ],
    },
]  # fmt: skip
PLAIN = [f["name"] for f in FEATURES[:-1]]
SEQUENCE = {"groups": {"deep": {"features": PLAIN, "sequences": [{"sequence": "click_seq"}]}}}


def searched(encoder: dict[str, Any]) -> dict[str, Any]:
    """Groups whose sequence has an encoder that chooses steps."""
    return {"groups": {"deep": {"features": PLAIN, "sequences": [{"sequence": "click_seq", "encoder": encoder}]}}}


WIDE = {"groups": {"deep": PLAIN, "wide": ["level_x_cate", "cate"]}}
MODELS: dict[str, dict[str, Any]] = {
    "lr": {"type": "lr"},
    "fm": {"type": "fm"},
    "wide_and_deep": {"type": "wide_and_deep", "hidden": [16], **WIDE},
    "deepfm": {"type": "deepfm", "hidden": [16, 8], "dropout": 0.5, "batch_norm": True},
    "dcn_v2": {"type": "dcn_v2", "hidden": [16]},
    "din": {"type": "din", "hidden": [16], **SEQUENCE},
    "eta": {"type": "eta", "hidden": [16], **searched({"type": "eta", "top": 2})},
    "twin": {"type": "twin", "hidden": [16], **searched({"type": "twin", "top": 2})},
}


def shop_rows(count: int, seed: int = 0) -> pa.RecordBatch:
    """Raw rows with nulls, empty texts, several values, unicode, and values outside of vocabularies."""
    random = np.random.default_rng(seed)
    pick = lambda values: [values[i] for i in random.integers(len(values), size=count)]  # noqa: E731
    steps = random.integers(0, 9, size=count)
    return pa.record_batch(
        {
            "user_id": pa.array(pick(["u1", "u2", "用户", "", None, "u6"]), pa.string()),
            "level": pa.array(pick([0, 1, 2, 4, 7, None]), pa.int64()),
            "item_id": pa.array([f"i{n}" for n in random.integers(40, size=count)], pa.string()),
            "cate": pa.array(pick(["book", "toy", "food", "car", None]), pa.string()),
            "tags": pa.array(
                [[f"t{n}" for n in random.integers(30, size=k % 4)] for k in steps], pa.list_(pa.string())
            ),
            "price": pa.array(np.where(random.random(count) < 0.1, None, random.random(count) * 30), pa.float64()),
            "scene": pa.array(pick(["home", "search"]), pa.string()),
            "score": pa.array(random.standard_normal(count), pa.float32()),
            "click_seq__item_id": pa.array(
                [[f"i{n}" for n in random.integers(40, size=k)] for k in steps], pa.list_(pa.string())
            ),
            "click_seq__cate": pa.array([pick_k(random, k) for k in steps], pa.list_(pa.string())),
        }
    )


def pick_k(random: np.random.Generator, count: int) -> list[str]:
    return [("book", "toy", "food", "car")[i] for i in random.integers(4, size=count)]


@dataclass
class Toy:
    """A trained model and its bundle."""

    experiment: Experiment
    trained: Scorer
    bundle: Path = field(default_factory=Path)

    def scores(self, batch: pa.RecordBatch) -> dict[str, np.ndarray]:
        """What the trainer says, in one batch."""
        generator = self.experiment.generator
        return self.trained.predict(Batch.of(generator.transform(batch), outputs=generator.outputs))


def make(
    model: dict[str, Any],
    path: Path,
    calibrations: dict[str, Any] | None = None,
    rows: pa.RecordBatch | None = None,
    **sections: Any,
) -> Toy:
    """A model of random weights, large enough that scores spread over 0 .. 1, and its bundle at `path`."""
    data = {"labels": ["click"], "train": {"type": "parquet", "path": "none.parquet"}, **sections.pop("data", {})}
    config = {
        "name": "toy",
        "data": data,
        "features": sections.pop("features", FEATURES),
        "model": {"embedding_dim": 8, **model},
        **sections,
        "export": {"runtimes": ["torch_export"], **sections.get("export", {})},
    }
    experiment = load_experiment(config)
    plan = plan_embeddings(experiment.generator.outputs, experiment.model)
    torch.manual_seed(1)
    dense = models.build(experiment.model, plan, experiment.tasks)
    for module in dense.modules():
        if isinstance(module, torch.nn.BatchNorm1d) and module.running_mean is not None:
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    collection = EmbeddingCollection(plan, SGD(), seed=1)
    random = np.random.default_rng(2)
    for weights in collection.weights.values():
        weights[...] = random.standard_normal(weights.shape) * 0.5
    trained = Scorer(dense, collection, Objective(experiment.tasks), task_scorings(experiment))
    trained.calibrate(calibrations or {})
    raw = shop_rows(100) if rows is None else rows
    return Toy(experiment, trained, export_bundle(experiment, trained, raw, path, metrics={"valid": {"auc": 0.7}}))


@pytest.fixture(scope="session")
def toys(tmp_path_factory):
    """Toy by model type, made when first asked for."""
    made: dict[str, Toy] = {}

    def toy(name: str) -> Toy:
        if name not in made:
            made[name] = make(MODELS[name], tmp_path_factory.mktemp(name) / "bundle")
        return made[name]

    return toy


@pytest.fixture(scope="session")
def toy_rows():
    return shop_rows


@pytest.fixture(scope="session")
def make_toy():
    return make
