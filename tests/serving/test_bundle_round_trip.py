"""From a trained model through its bundle to the predictor: tasks, corrections, modes, and what must not leave."""

import json
import math

import numpy as np
import pyarrow as pa
import pytest
import torch

import easyrec
from easyrec.errors import DataError, RunError
from easyrec.export import export_bundle
from easyrec.export.warmup import WarmupRows
from easyrec.modules import calibration
from serving import Predictor

TRAINED = [
    {"type": "id", "name": "user_id", "expression": "user:user_id", "hash_bucket_size": 100},
    {"type": "id", "name": "cate", "expression": "item:cate", "vocab_list": ["book", "toy", "food"]},
    {"type": "raw", "name": "price", "expression": "item:price", "boundaries": [1, 5, 20]},
    {"type": "raw", "name": "score", "expression": "item:score"},
]
TASKS = [
    {"name": "ctr", "label": "click"},
    {"name": "kind", "label": "kind", "type": "multiclass", "num_classes": 3},
    {"name": "spent", "label": "spent", "type": "regression"},
]


def test_tasks_of_every_type(make_toy, toy_rows, tmp_path):
    data = {"labels": ["click", "kind", "spent"]}
    toy = make_toy({"type": "deepfm", "hidden": [8], "tasks": TASKS}, tmp_path / "bundle", data=data)
    batch = toy_rows(50, seed=4)
    with Predictor.load(toy.bundle) as predictor:
        served, trained = predictor.predict_batch(batch), toy.scores(batch)
        assert {name: scores.shape for name, scores in served.items()} == {
            "ctr": (50,),
            "kind": (50, 3),
            "spent": (50,),
        }
        for name, scores in trained.items():
            np.testing.assert_allclose(served[name], scores, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(served["kind"].sum(axis=1), 1.0, atol=1e-6)
        none = predictor.predict_batch(batch.slice(0, 0))
        assert {name: scores.shape for name, scores in none.items()} == {"ctr": (0,), "kind": (0, 3), "spent": (0,)}
        outputs = [(o.name, o.meaning, o.shape) for o in predictor.manifest.signature.outputs]
    assert outputs == [("ctr", "probability", []), ("kind", "probabilities", [3]), ("spent", "value", [])]


NUMERIC = [
    {
        "type": "raw",
        "name": "waves",
        "expression": "item:score",
        "embedding_dim": 8,
        "dense_embedding": {"type": "periodic", "sigma": 0.3},
    },
    {
        "type": "raw",
        "name": "mixed",
        "expression": "user:level",
        "default_value": 1,
        "embedding_dim": 8,
        "dense_embedding": "autodis",
    },
    {"type": "raw", "name": "curve", "expression": "item:price", "embedding_dim": 8, "dense_embedding": "mlp"},
]


def test_fields_made_of_numbers_and_layers_over_fields_are_served_as_they_train(make_toy, toy_rows, tmp_path):
    features = [NUMERIC[0], *TRAINED, *NUMERIC[1:]]
    deep = {"features": [f["name"] for f in features], "feature_wise": ["senet", {"type": "dropout"}, "gate"]}
    model = {
        "type": "deepfm",
        "hidden": [16],
        "embedding_init": {"type": "normal", "std": 0.5},
        "groups": {"deep": deep},
    }
    toy = make_toy(model, tmp_path / "bundle", features=features)
    batch = toy_rows(300, seed=5)
    trained = toy.scores(batch)["click"]
    assert trained.std() > 0.05
    with Predictor.load(toy.bundle) as predictor:
        np.testing.assert_allclose(predictor.predict_batch(batch)["click"], trained, rtol=0, atol=1e-6)
        alone = [predictor.predict_batch(batch.slice(row, 1))["click"] for row in range(20)]
        np.testing.assert_allclose(np.concatenate(alone), trained[:20], rtol=0, atol=1e-6)
        names = [span["name"] for span in predictor.manifest.features]
        (group,) = predictor.manifest.embeddings["groups"]
    assert [name for name, *_ in group["layout"]["numeric"]] == ["waves", "mixed", "curve"]
    assert set(names) == set(deep["features"])


def test_sampling_is_corrected_and_then_calibrated(make_toy, toy_rows, tmp_path):
    """By hand: odds times the kept share, then the logistic map of the calibration."""
    platt = {"method": "platt", "slope": 0.5, "shift": -1.0}
    data = {"negative_sampling": {"keep_rate": 0.2}}
    batch = toy_rows(60, seed=8)
    plain = make_toy({"type": "lr"}, tmp_path / "plain").scores(batch)["click"].astype(np.float64)
    toy = make_toy({"type": "lr"}, tmp_path / "bundle", calibrations={"click": platt}, data=data)
    odds = 0.2 * plain / (1 - plain)
    expected = 1 / (1 + np.exp(-(0.5 * np.log(odds) - 1.0)))
    with Predictor.load(toy.bundle) as predictor:
        np.testing.assert_allclose(predictor.predict_batch(batch)["click"], expected, atol=1e-6)
        assert predictor.manifest.scoring[0].keep_rate == 0.2
    kept = WarmupRows.load(toy.bundle / "warmup")
    assert not np.array_equal(kept.predictions["click"], kept.scores["click"])


def test_a_steep_calibration_does_not_refuse_to_load(make_toy, tmp_path):
    """Its slope lies between two neighbouring probabilities: the proof compares what comes before it."""
    steps = np.linspace(0, 1, 2001)[:-1]
    knots = np.sort(np.concatenate([steps, steps + 1e-9]))
    values = np.repeat(np.linspace(0, 1, 2000), 2)
    isotonic = {"method": "isotonic", "knots": knots.tolist(), "values": [*np.roll(values, -1)[:-1].tolist(), 1.0]}
    toy = make_toy({"type": "deepfm", "hidden": [16]}, tmp_path / "bundle", calibrations={"click": isotonic})
    Predictor.load(toy.bundle).close()


def test_a_fitted_isotonic_map_keeps_single_rows_with_their_batch(make_toy, toy_rows, tmp_path):
    """Fitted on few labels: without a bound the map would be a staircase whose steps lie at these very rows."""
    model, batch = {"type": "deepfm", "hidden": [256, 128]}, toy_rows(400, seed=7)
    raw = make_toy(model, tmp_path / "plain").scores(batch)["click"]
    fitted = calibration.fit("isotonic", raw, (np.random.default_rng(0).random(400) < raw).astype(np.float32))
    toy = make_toy(model, tmp_path / "bundle", calibrations={"click": fitted.to_json()})
    with Predictor.load(toy.bundle) as predictor:
        alone = [predictor.predict_batch(batch.slice(row, 1))["click"] for row in range(400)]
        np.testing.assert_allclose(np.concatenate(alone), toy.scores(batch)["click"], rtol=0, atol=1.2e-6)


def test_encoded_columns_are_served_encoded(make_toy, tmp_path):
    features = [
        {"type": "id", "name": "user_id", "expression": "user:user_id", "hash_bucket_size": 1000},
        {"type": "id", "name": "item_id", "expression": "item:item_id", "hash_bucket_size": 1000},
    ]
    rows = pa.record_batch({"user_id": list(range(40)), "item_id": list(range(900, 940))})
    toy = make_toy({"type": "lr"}, tmp_path / "bundle", features=features, rows=rows, data={"fg": "encoded"})
    batch = pa.record_batch({"user_id": [1, 2, 999], "item_id": [3, 4, 5]})
    trained = toy.scores(batch)["click"]
    with Predictor.load(toy.bundle) as predictor:
        np.testing.assert_allclose(predictor.predict_batch(batch)["click"], trained, atol=1e-6)
        asked = predictor.predict({"user_id": 2}, [{"item_id": 4}, {"item_id": 5}])["click"]
        assert asked[0] == pytest.approx(trained[1], abs=1e-6)
        assert asked[0] != asked[1]


def test_secrets_of_the_config_stay_names(make_toy, tmp_path, monkeypatch):
    monkeypatch.setenv("EASYREC_TEST_SECRET", "hunter2")
    data = {"train": {"type": "parquet", "path": "${EASYREC_TEST_SECRET}/x.parquet"}}
    toy = make_toy({"type": "lr"}, tmp_path / "bundle", data=data)
    content = b"".join(p.read_bytes() for p in toy.bundle.rglob("*") if p.is_file())
    assert b"hunter2" not in content
    assert b"${EASYREC_TEST_SECRET}" in content


def test_rows_with_bad_values_are_not_kept_for_warming_up(toys, toy_rows, tmp_path):
    toy = toys("lr")
    batch = toy_rows(100, seed=6)
    prices = batch["price"].to_pylist()
    prices[::2] = [math.inf] * 50
    mixed = batch.set_column(batch.schema.get_field_index("price"), "price", pa.array(prices))
    export_bundle(toy.experiment, toy.trained, mixed, tmp_path / "bundle")
    kept = WarmupRows.load(tmp_path / "bundle" / "warmup").rows
    assert kept.num_rows == 50
    assert kept["item_id"].to_pylist() == batch["item_id"].to_pylist()[1::2]
    Predictor.load(tmp_path / "bundle").close()
    bad = mixed.take(pa.array(range(0, 100, 2)))
    with pytest.raises(DataError, match="no row without a bad value"):
        export_bundle(toy.experiment, toy.trained, bad, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_rows_may_come_as_a_table_in_chunks(toys, toy_rows, tmp_path):
    toy = toys("din")
    table = pa.Table.from_batches([toy_rows(5, seed=1), toy_rows(7, seed=2)])
    export_bundle(toy.experiment, toy.trained, table, tmp_path / "bundle")
    assert WarmupRows.load(tmp_path / "bundle" / "warmup").rows.num_rows == 12
    Predictor.load(tmp_path / "bundle").close()


class _TwoFaced(torch.nn.Module):
    """Computes one thing and exports another."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        offset = 1e-3 if torch.compiler.is_compiling() else 0.0
        return {name: logit + offset for name, logit in self.model(x).items()}


def test_a_program_that_does_not_score_as_its_model_is_not_written(make_toy, toy_rows, tmp_path):
    toy = make_toy({"type": "lr"}, tmp_path / "honest")
    toy.trained.model = _TwoFaced(toy.trained.model)
    with pytest.raises(RunError, match="does not score as the model: task 'click' differs by"):
        export_bundle(toy.experiment, toy.trained, toy_rows(20), tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


class _Rounding(torch.nn.Module):
    """What a row scores depends a little on how many rows there are, and on whether it was captured."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        offset = 8e-6 if torch.compiler.is_compiling() else 0.0
        return {name: z + 1.2e-5 / torch.ones_like(z).sum() + offset for name, z in self.model(x).items()}


def test_scores_are_asked_for_no_more_than_rounding_leaves(make_toy, toy_rows, tmp_path):
    toy = make_toy({"type": "lr"}, tmp_path / "wild")
    toy.trained.model = _Rounding(toy.trained.model)
    export_bundle(toy.experiment, toy.trained, toy_rows(20), tmp_path / "bundle")
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_bytes())
    assert 1e-6 < manifest["runtimes"]["torch_export"]["tolerance"]["fp32"] <= 1e-5
    Predictor.load(tmp_path / "bundle").close()


def test_metrics_that_are_no_numbers_are_null(toys, toy_rows, tmp_path):
    toy = toys("lr")
    metrics = {"valid": {"auc": float("nan"), "logloss": 0.5}, "best_step": 3}
    export_bundle(toy.experiment, toy.trained, toy_rows(20), tmp_path / "bundle", metrics=metrics)
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_bytes())
    assert manifest["metrics"] == {"valid": {"auc": None, "logloss": 0.5}, "best_step": 3}


def test_a_training_run_ends_in_a_bundle_that_answers_as_it_predicts(toy_rows, tmp_path):
    """With averaged weights, sampled negatives and calibration; and again from the run's folder, its data gone."""

    def frame(count, seed):
        batch = toy_rows(count, seed)
        clicks = np.random.default_rng(seed).random(count) < np.where(
            np.array(batch["cate"].to_pylist()) == "toy", 0.7, 0.2
        )
        return pa.Table.from_batches([batch]).append_column("click", pa.array(clicks.astype(np.float32)))

    config = {
        "name": "run",
        "data": {"labels": ["click"], "batch_size": 128, "negative_sampling": {"keep_rate": 0.5}},
        "features": TRAINED,
        "model": {"type": "deepfm", "embedding_dim": 4, "hidden": [8], "dropout": 0.2, "batch_norm": True},
        "train": {
            "epochs": 4,
            "ema": {"decay": 0.9},
            "threads": 1,
            "sparse_optimizer": {"type": "lazy_adam", "lr": 0.05},
        },
        "eval": {"calibration": {"method": "platt"}},
    }
    run = easyrec.train(
        config, data={"train": frame(1000, 1), "valid": frame(400, 2)}, run_dir=tmp_path / "run", progress=False
    )
    test = frame(300, 3)
    predicted = easyrec.predict(tmp_path / "run", test)["click"].to_numpy()
    with Predictor.load(run.bundle) as predictor:
        served = predictor.predict_batch(test)["click"]
        np.testing.assert_allclose(served, predicted, rtol=0, atol=1e-6)
        assert predictor.manifest.metrics["valid"]["auc"] == run.metrics["valid"]["auc"] > 0.6
        assert predictor.manifest.scoring[0].calibration["method"] == "platt"
    again = easyrec.export(tmp_path / "run", output=tmp_path / "again")
    with Predictor.load(again.bundle) as predictor:
        assert np.array_equal(predictor.predict_batch(test)["click"], served)
    with pytest.raises(RunError, match="exists"):
        easyrec.export(tmp_path / "run", output=tmp_path / "again")
