"""Every kind of output, from rows of the embedded shop to the served answer."""

import numpy as np
import pyarrow as pa
import pytest

import easyrec
from easyrec.config import DataConfig, load_experiment
from easyrec.data import open_sources
from easyrec.train.trainer import Trainer
from serving import Predictor

FEATURES = [
    {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": 20_000},
    {"type": "id", "name": "cate", "expression": "item:cate", "num_buckets": 200},
    {"type": "raw", "name": "price", "expression": "item:price", "boundaries": [8, 14, 20, 27, 35, 45, 58, 75, 100, 140]},
    {"type": "raw", "name": "age", "expression": "user:age", "normalizer": "method=zscore,mean=35,standard_deviation=12"},
]  # fmt: skip


@pytest.fixture(scope="module")
def shop():
    """Rows with labels of every kind beside click and buy."""
    config = DataConfig.model_validate(
        {"labels": ["click"], "train": {"type": "synthetic", "name": "shop", "rows": 9000}}
    )
    source = open_sources(config).train.source
    columns = ["request_id", "user_id", "age", "cate", "price", "item_id", "scene", "click", "buy"]
    table = pa.Table.from_batches(b for unit in source.units() for b in source.read(unit, columns)).slice(0, 9000)
    price, random = table["price"].to_numpy().clip(max=160), np.random.default_rng(0)
    paid = np.where(random.random(len(price)) < 0.3, price * np.exp(random.normal(0, 0.2, len(price))), 0)
    stars = np.searchsorted([10, 25, 60, 120], price)
    for name, values in {"paid": paid, "stars": stars, "spent": price * 2 + 500}.items():
        table = table.append_column(name, pa.array(values.astype(np.float32)))
    return {"train": table.slice(0, 6000), "valid": table.slice(6000)}


def experiment(label, metrics=None, train=None, **task):
    return load_experiment(
        {
            "name": label,
            "data": {"labels": [label], "batch_size": 256, "reserved": ["item_id"]},
            "features": FEATURES,
            "model": {
                "type": "deepfm",
                "embedding_dim": 8,
                "hidden": [16],
                "tasks": [{"name": label, "label": label, **task}],
            },
            "train": {
                "epochs": 2,
                "threads": 1,
                "sparse_optimizer": {"type": "lazy_adam", "lr": 0.02},
                "dense_optimizer": {"type": "adam", "lr": 0.02},
                **(train or {}),
            },
            **({} if metrics is None else {"eval": {"metrics": metrics}}),
        }
    )


PAIRS = {"type": "pairwise_logistic", "by": "request_id"}
OUTPUTS = [
    ("spent", {"type": "regression", "loss": {"type": "huber", "delta": 20}}, {"rmse": (0, 50), "mae": (0, 35)}),
    ("stars", {"type": "multiclass", "num_classes": 5}, {"accuracy": (0.9, 1)}),
    ("stars", {"type": "ordinal", "num_classes": 5}, {"accuracy": (0.9, 1), "mae": (0, 0.15)}),
    ("paid", {"type": "ziln", "metrics": ["xauc", "calibration"]}, {"xauc": (0.55, 1), "calibration": (0.85, 1.15)}),
    ("stars", {"type": "regression", "loss": {"type": "listwise", "by": "request_id"}}, {}),
    ("click", {"loss": {"type": "jrc", "by": "request_id"}}, {}),
    ("click", {"loss": {"type": "sum", "losses": [{"loss": "bce"}, {"loss": PAIRS, "weight": 0.3}]}}, {}),
]
IDS = [f"{task.get('type', 'binary')}-{i}" for i, (_, task, _) in enumerate(OUTPUTS)]


@pytest.mark.parametrize(("label", "task", "bounds"), OUTPUTS, ids=IDS)
def test_trains_evaluates_exports_and_serves(tmp_path, shop, label, task, bounds):
    found = experiment(label, **task)
    run = easyrec.train(found, data=shop, run_dir=tmp_path / "run", progress=False)
    values = run.metrics["valid"]
    for name, (low, high) in bounds.items():
        assert low < values[name] < high, values
    trained = easyrec.predict(tmp_path / "run", shop["valid"])
    scores = np.array(trained[label].to_list())
    assert scores.shape == ((3000, task["num_classes"]) if "num_classes" in task else (3000,))
    assert np.isfinite(scores).all()
    with Predictor.load(run.bundle) as predictor:
        served = predictor.predict_batch(shop["valid"].slice(0, 500))[label]
        answer = predictor.manifest.signature.outputs[0]
    np.testing.assert_allclose(served, scores[:500], rtol=1e-6, atol=1e-6)
    meanings = {"binary": "probability", "multiclass": "probabilities", "ordinal": "probabilities"}
    assert answer.meaning == meanings.get(task.get("type", "binary"), "value")
    assert answer.shape == list(served.shape[1:])


def test_a_session_loss_ranks_inside_of_sessions(tmp_path, shop):
    """A pair loss by request sorts the items of a request by a label that no row's loss has seen."""
    metrics = [{"type": "grouped_xauc", "by": "request_id"}, {"type": "ndcg", "by": "request_id", "k": 5}]
    ranked = experiment("spent", metrics, type="regression", loss=PAIRS)
    values = easyrec.train(ranked, data=shop, run_dir=tmp_path / "run", progress=False, export=False).metrics["valid"]
    assert values["grouped_xauc"] > 0.9
    assert values["ndcg@5"] > 0.9


class Recording(Trainer):
    """Keeps the requests of every batch."""

    def _learn(self, turn):
        self.__dict__.setdefault("seen", []).append(turn.batch.reserved["request_id"].to_pylist())
        super()._learn(turn)


def test_sessions_reach_the_loss_whole(tmp_path, shop):
    found = experiment("click", train={"epochs": 1}, loss={"type": "softmax", "by": "request_id"})
    trainer = Recording(found, tmp_path / "run", data=shop, bar=False, export=False)
    trainer.fit()
    requests = [request for batch in trainer.seen for request in set(batch)]
    assert len(trainer.seen) > 20
    assert len(requests) == len(set(requests))
    assert sorted(r for batch in trainer.seen for r in batch) == sorted(shop["train"]["request_id"].to_pylist())


def test_values_begin_at_the_mean_of_the_first_rows(tmp_path, shop):
    def loss_after_one_step(name):
        run = tmp_path / name
        train = {"steps": 1, "log_every": 1, "ema": {"decay": 0.9}}
        easyrec.train(experiment("spent", type="regression", train=train), data=shop, run_dir=run, progress=False)
        return run

    run = loss_after_one_step("one")
    scores = easyrec.predict(run, shop["valid"])["spent"]
    assert abs(scores.mean() - np.mean(shop["train"]["spent"].to_numpy())) < 20  # 540 +- 70; it starts at 0 otherwise
