"""Bundles with compressed tables: gated, proven, and read without torch."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from easyrec.batch import Batch
from easyrec.config import load_experiment
from easyrec.embedding.reader import TableReader
from easyrec.errors import BundleError
from easyrec.export import export_bundle
from serving import Predictor

DEEPFM = {"type": "deepfm", "hidden": [16, 8], "dropout": 0.5, "batch_norm": True}
CODES = [{"type": "prune", "min_count": 2, "tables": ["user_id"]}, {"type": "product", "numbers": 2}]


@pytest.fixture(scope="module")
def toy(make_toy, tmp_path_factory):
    return make_toy(DEEPFM, tmp_path_factory.mktemp("plain") / "bundle")


def exported(toy, rows, path, *, learned=True, held_out=True, **export):
    """A bundle whose gate sees labels that the model finds likely, and counts by the same rows."""
    told = toy.experiment.resolved()
    told["export"] = {"runtimes": ["torch_export"], **export}
    generator = toy.experiment.generator
    labels = (toy.scores(rows)["click"] > np.median(toy.scores(rows)["click"])).astype(np.float32)

    def read():
        batch = Batch.of(generator.transform(rows), outputs=generator.outputs)
        yield replace(batch, labels={"click": torch.from_numpy(labels)})

    parts = {"held_out": read if held_out else None, "learned": read if learned else None}
    export_bundle(load_experiment(told), toy.trained, rows, path, **parts)
    return json.loads((path / "manifest.json").read_text())


def decoded(toy, path, rows):
    """What the model scores with the tables that the bundle stands for."""
    weights, floats = toy.trained.collection.weights, TableReader.open(path / "tables").floats()
    before = {name: array.copy() for name, array in weights.items()}
    try:
        for name, array in weights.items():
            array[...] = floats[name]
        return toy.scores(rows)["click"]
    finally:
        for name, array in toy.trained.collection.weights.items():
            array[...] = before[name]


@pytest.fixture(scope="module")
def small(toy, toy_rows, tmp_path_factory):
    """Folder of a bundle with compressed tables."""
    path = tmp_path_factory.mktemp("small") / "b"
    exported(toy, toy_rows(300, seed=5), path, compress=CODES, max_auc_drop=0.2)
    return path


def test_online_scores_are_those_of_the_decoded_tables(toy, toy_rows, small):
    found = json.loads((small / "manifest.json").read_text())
    (tried,) = found["tried"]
    assert tried["kept"]
    assert found["tables"].endswith("prune+product")
    assert 3 * tried["table_bytes"] < sum(4 * t["rows"] * t["dim"] for t in found["embeddings"]["tables"])
    # What is served is proven exactly, though it is not what was trained.
    assert found["runtimes"]["torch_export"]["tolerance"]["fp32"] <= 1e-5
    rows = toy_rows(60, seed=6)
    with Predictor.load(small) as predictor:
        scores = predictor.predict_batch(rows)["click"]
    np.testing.assert_allclose(scores, decoded(toy, small, rows), atol=1e-6)
    assert np.abs(scores - toy.scores(rows)["click"]).max() > 1e-4


def test_a_bundle_whose_codes_were_changed_does_not_start(small, tmp_path):
    shutil.copytree(small, tmp_path / "b")
    path = next(iter(sorted((tmp_path / "b" / "tables").glob("*-books.npy"))))
    np.save(path, np.load(path) + 1)
    with pytest.raises(BundleError, match="books"):
        Predictor.load(tmp_path / "b")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"max_auc_drop": 0.0}, "AUC of 'click' drops by"),
        pytest.param({"max_auc_drop": 1.0, "max_score_error": 1e-4}, "a score moves by", marks=pytest.mark.slow),
        pytest.param({"max_auc_drop": 1.0, "held_out": False}, "no held-out rows tell", marks=pytest.mark.slow),
        pytest.param({"max_auc_drop": 1.0, "learned": False}, "no rows of training tell", marks=pytest.mark.slow),
    ],
)
def test_what_is_refused_leaves_the_tables_as_they_were(toy, toy_rows, tmp_path, options, reason):
    harsh = [{"type": "prune", "share": 0.01}, {"type": "low_rank", "dim": 1}]
    found = exported(toy, toy_rows(300, seed=5), tmp_path / "b", compress=harsh, **options)
    assert found["tables"] == "fp32"
    (tried,) = found["tried"]
    assert not tried["kept"]
    assert reason in tried["reason"]
    assert not (tmp_path / "b" / "tables.lossy").exists()
    rows = toy_rows(30, seed=6)
    with Predictor.load(tmp_path / "b") as predictor:
        np.testing.assert_allclose(predictor.predict_batch(rows)["click"], toy.scores(rows)["click"], atol=1e-6)


@pytest.mark.slow
def test_the_precision_alone_is_tried_where_codecs_cost_too_much(toy, toy_rows, tmp_path):
    harsh = [{"type": "prune", "share": 0.01}]
    found = exported(toy, toy_rows(300, seed=5), tmp_path / "b", compress=harsh, tables="fp16", max_auc_drop=0.001)
    assert [(a["tables"], a["kept"]) for a in found["tried"]] == [("fp16+prune", False), ("fp16", True)]
    assert found["tables"] == "fp16"


@pytest.mark.slow
def test_rows_below_a_learned_threshold_are_not_stored(make_toy, toy_rows, tmp_path):
    threshold = {"item_id": {"type": "threshold", "start": 0.75}}
    toy = make_toy({**DEEPFM, "compress": threshold}, tmp_path / "first")
    prune = [{"type": "prune", "below": 0, "tables": ["item_id"]}]
    found = exported(toy, toy_rows(300, seed=5), tmp_path / "b", compress=prune, max_auc_drop=0.0)
    assert found["tried"][0]["kept"]
    assert found["tried"][0]["error"] == 0.0
    weights = toy.trained.collection.weights["item_id"]
    stored = TableReader.open(tmp_path / "b" / "tables").weights["item_id"]
    assert len(stored.rows) == (np.linalg.norm(weights, axis=1) > 0.75).sum() + 1
    assert 10 < len(stored.rows) < 990
    rows = toy_rows(60, seed=6)
    with Predictor.load(tmp_path / "b") as predictor:
        np.testing.assert_allclose(predictor.predict_batch(rows)["click"], toy.scores(rows)["click"], atol=1e-6)


QUOTIENTS, DIGITS = {"type": "quotient_remainder"}, {"type": "product", "operation": "concat"}
NARROW = {"type": "mixed", "dim": 2, "frequent": 90}


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("din", QUOTIENTS),
        pytest.param("deepfm", QUOTIENTS, marks=pytest.mark.slow),
        pytest.param("din", DIGITS, marks=pytest.mark.slow),
        pytest.param("deepfm", DIGITS, marks=pytest.mark.slow),
        pytest.param("din", NARROW, marks=pytest.mark.slow),
        pytest.param("deepfm", NARROW, marks=pytest.mark.slow),
    ],
)
def test_learned_parts_score_online_as_offline(make_toy, toy_rows, tmp_path, model, kind):
    groups = {
        "groups": {"deep": {"features": ["user_id", "item_id", "cate"], "sequences": [{"sequence": "click_seq"}]}}
    }
    keys = {"deepfm": DEEPFM, "din": {"type": "din", "hidden": [16], **groups}}[model]
    toy = make_toy({**keys, "compress": {"item_id": kind, "user_id": kind}}, tmp_path / "b")
    rows = toy_rows(60, seed=6)
    with Predictor.load(toy.bundle) as predictor:
        np.testing.assert_allclose(predictor.predict_batch(rows)["click"], toy.scores(rows)["click"], atol=1e-6)


def test_compressed_tables_are_read_without_torch(small):
    code = (
        "import sys; from easyrec.embedding.reader import TableReader;"
        "reader = TableReader.open(sys.argv[1]);"
        "from easyrec.embedding.encoded import Encoded;"
        "assert any(isinstance(w, Encoded) for w in reader.weights.values());"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(small / "tables")], check=True)
