"""What export tries, measures and keeps, and which runtime a predictor takes."""

import json
import logging
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
import yaml

import easyrec
from easyrec.batch import Batch
from easyrec.config import load_experiment
from easyrec.errors import BundleError, ConfigError
from easyrec.export import export_bundle, host
from easyrec.export.bundle import Bundle
from easyrec.export.manifest import Manifest
from easyrec.export.warmup import WarmupRows
from serving import Predictor

PLAIN = ["user_id", "item_id", "cate", "price", "score"]
SEQUENCE = {"groups": {"deep": {"features": PLAIN, "sequences": [{"sequence": "click_seq"}]}}}
DEEPFM = {"type": "deepfm", "hidden": [16, 8]}


def manifest_of(path):
    return Bundle.open(path).manifest


@pytest.fixture(scope="module")
def both(make_toy, tmp_path_factory):
    """A bundle with two runtimes."""
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    path = tmp_path_factory.mktemp("both") / "bundle"
    return make_toy(DEEPFM, path, export={"runtimes": ["onnx"], "request": {"items": 50}})


def test_export_times_the_runtimes_and_chooses_the_fastest(both):
    found = manifest_of(both.bundle)
    assert sorted(found.runtimes) == ["onnx", "torch_export"]
    times = {name: entry.milliseconds for name, entry in found.runtimes.items()}
    assert all(time > 0 for time in times.values())
    assert found.runtime == min(times, key=times.__getitem__)
    assert found.runtimes["onnx"].tolerance == {"fp32": 1e-5}
    (tried,) = found.tried
    assert (tried.runtime, tried.kept, tried.milliseconds) == ("onnx", True, times["onnx"])
    assert tried.error <= 1e-5


@pytest.mark.parametrize("name", ["onnx", "torch_export"])
def test_every_runtime_scores_as_trained(both, toy_rows, name):
    rows = toy_rows(50, seed=3)
    with Predictor.load(both.bundle, runtime=name) as predictor:
        assert predictor.runtime == name
        found = predictor.predict_batch(rows)["click"]
        np.testing.assert_allclose(found, both.scores(rows)["click"], atol=1e-5)
        assert predictor.predict_batch(rows.slice(0, 0))["click"].shape == (0,)


@pytest.mark.parametrize("name", ["onnx", "torch_export"])
def test_every_runtime_scores_requests_by_a_program_of_its_own(both, toy_rows, name):
    found = manifest_of(both.bundle)
    assert found.requests_of(name) == {"onnx": "onnx-request", "torch_export": "request"}[name]
    rows = toy_rows(20, seed=4)
    alone = ["user_id", "level", "click_seq__item_id", "click_seq__cate", "scene"]
    for column in alone:
        rows = rows.set_column(
            rows.schema.names.index(column), column, pa.array([rows[column][0].as_py()] * 20, rows[column].type)
        )
    one = rows.slice(0, 1)
    user, context = one.select(alone[:-1]), one.select(["scene"])
    items = rows.select([c for c in rows.schema.names if c not in alone])
    predictor = Predictor.load(both.bundle, runtime=name)
    scores = predictor.predict(user=user, items=items, context=context)["click"]
    np.testing.assert_allclose(scores, both.scores(rows)["click"], atol=1e-5)


def test_a_runtime_can_be_asked_for_at_export(make_toy, tmp_path):
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    toy = make_toy(DEEPFM, tmp_path / "b", export={"runtimes": ["onnx"], "runtime": "torch_export"})
    assert manifest_of(toy.bundle).runtime == "torch_export"
    assert Predictor.load(toy.bundle).runtime == "torch_export"


def test_an_absent_package_leaves_the_next_runtime(both, monkeypatch, caplog):
    """Without torch ONNX Runtime answers, without ONNX Runtime torch does; each is told once."""
    name = manifest_of(both.bundle).runtime
    module = {"onnx": "onnxruntime", "torch_export": "easyrec.export.calls"}[name]
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"serving.runtimes.{name}", raising=False)
    with caplog.at_level(logging.WARNING, "serving"):
        predictor = Predictor.load(both.bundle)
    assert predictor.runtime != name
    (message,) = [r.message for r in caplog.records if r.name == "serving"]
    assert f"instead of runtime '{name}': " in message
    monkeypatch.delitem(sys.modules, f"serving.runtimes.{name}", raising=False)
    with pytest.raises(BundleError, match=f"cannot be run here: runtime '{name}'"):
        Predictor.load(both.bundle, runtime=name)


def test_machine_code_is_loaded_from_trusted_bundles_only(both, tmp_path, caplog):
    found = manifest_of(both.bundle)
    entry = found.runtimes["torch_export"].model_copy(update={"native": True, "built_for": host.described()})
    forged = found.model_copy(update={"runtimes": {**found.runtimes, "torch_export": entry}, "runtime": "torch_export"})
    bundle = Bundle(both.bundle, forged)
    with caplog.at_level(logging.WARNING, "serving"):
        assert Predictor(bundle).runtime == "onnx"
    assert "trust_native=True" in caplog.text
    assert Predictor(bundle, trust_native=True).runtime == "torch_export"
    with pytest.raises(BundleError, match="machine code"):
        Predictor(bundle, runtime="torch_export")


def test_a_manifest_cannot_say_that_machine_code_is_none(both):
    found = manifest_of(both.bundle)
    entry = found.runtimes["torch_export"].model_copy(update={"native": False})
    forged = found.model_copy(update={"runtimes": {"aot_inductor": entry}, "runtime": "aot_inductor"})
    with pytest.raises(BundleError, match="machine code"):
        Predictor(Bundle(both.bundle, forged))


def test_machine_code_of_a_signed_bundle_is_loaded(both):
    found = manifest_of(both.bundle)
    entry = found.runtimes["torch_export"].model_copy(update={"native": True, "built_for": host.described()})
    signed = found.model_copy(update={"runtimes": {**found.runtimes, "torch_export": entry}, "runtime": "torch_export"})
    assert Predictor(Bundle(both.bundle, signed, signed_by="release")).runtime == "torch_export"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"instructions": "sse2 unheard_of"}, "this one has no unheard_of"),
        ({"torch": "1.0"}, "built for torch 1.0"),
        ({"machine": "z80"}, "built for z80"),
    ],
    ids=["processor", "torch", "machine"],
)
def test_machine_code_for_another_machine_is_passed_over(both, caplog, change, reason):
    found = manifest_of(both.bundle)
    update = {"native": True, "built_for": {**host.described(), **change}}
    entry = found.runtimes["torch_export"].model_copy(update=update)
    forged = found.model_copy(update={"runtimes": {**found.runtimes, "torch_export": entry}, "runtime": "torch_export"})
    with caplog.at_level(logging.WARNING, "serving"):
        assert Predictor(Bundle(both.bundle, forged), trust_native=True).runtime == "onnx"
    (message,) = [r.message for r in caplog.records if r.name == "serving"]
    assert reason in message


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_machine_code_scores_as_trained_from_several_threads(make_toy, toy_rows, tmp_path, precision):
    export = {"runtimes": ["aot_inductor"], "precision": precision, "max_score_error": 0.05}
    toy = make_toy({"type": "din", "hidden": [16], **SEQUENCE}, tmp_path / "b", export=export)
    found = manifest_of(toy.bundle)
    assert found.runtimes["aot_inductor"].precision == precision
    assert found.runtimes["aot_inductor"].native
    predictor = Predictor.load(toy.bundle, runtime="aot_inductor", trust_native=True)
    batches = [toy_rows(count, seed=count) for count in (1, 2, 7, 50, 200)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(predictor.predict_batch, batches * 4))
    bound = 1e-5 if precision == "fp32" else 0.05
    for rows, scores in zip(batches * 4, answers, strict=True):
        np.testing.assert_allclose(scores["click"], toy.scores(rows)["click"], atol=bound)
    exact = Predictor.load(toy.bundle)
    assert exact.runtime == "torch_export"  # the other is not trusted
    for steps, count in ((0, 1), (1, 7), (5, 60)):
        clicks = [{"item_id": f"i{n}", "cate": "toy"} for n in range(steps)]
        items = [{"item_id": f"i{n}", "cate": "book", "price": 2.0, "score": n / 50, "tags": []} for n in range(count)]
        asked = {
            "user": {"user_id": "u1", "level": 1, "click_seq": clicks},
            "items": items,
            "context": {"scene": "home"},
        }
        np.testing.assert_allclose(predictor.predict(**asked)["click"], exact.predict(**asked)["click"], atol=bound)


def test_a_program_that_has_no_counterpart_lacks_the_runtime(make_toy, tmp_path, monkeypatch, caplog):
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    from easyrec.export.onnx import operators

    monkeypatch.delitem(operators.OPERATORS, "aten.relu.default")
    with caplog.at_level(logging.WARNING, "easyrec.export"):
        toy = make_toy(DEEPFM, tmp_path / "b", export={"runtimes": ["onnx"]})
    found = manifest_of(toy.bundle)
    assert list(found.runtimes) == ["torch_export"]
    assert not (toy.bundle / "onnx").exists()
    (tried,) = found.tried
    assert "aten.relu.default" in tried.reason
    assert len([r for r in caplog.records if r.name == "easyrec.export"]) == 1
    Predictor.load(toy.bundle)


def test_a_bundle_without_the_newer_keys_is_read(toys):
    """As former releases wrote it."""
    told = json.loads((toys("lr").bundle / "manifest.json").read_bytes())
    del told["tried"]
    told["runtimes"] = {"torch_export": {"folder": "program", "tolerance": {"fp32": 1e-6}}}
    entry = Manifest.model_validate(told).runtimes["torch_export"]
    assert (entry.precision, entry.native, entry.tolerance["fp32"]) == ("fp32", False, 1e-6)


# ------------------------------------------------------------------------------------------- tables, gate


@pytest.mark.parametrize(
    ("tables", "told", "bound"),
    [
        pytest.param("fp16", "fp16", 2e-3, id="fp16", marks=pytest.mark.slow),
        pytest.param("bf16", "bf16", 2e-2, id="bf16", marks=pytest.mark.slow),
        pytest.param("int8", "fp16+int8", 2e-2, id="int8"),
        pytest.param({"user_id": "fp16"}, "fp16+fp32", 2e-3, id="one-table"),
    ],
)
def test_tables_in_fewer_bits_score_nearly_as_trained(make_toy, toy_rows, tmp_path, tables, told, bound):
    model = {**DEEPFM, "embedding_dim": 24}
    toy = make_toy(model, tmp_path / "b", export={"tables": tables, "max_score_error": 0.1})
    found = manifest_of(toy.bundle)
    assert found.tables == told
    (tried,) = found.tried
    assert tried.kept
    assert 0 < tried.error < bound
    assert found.runtimes["torch_export"].tolerance["fp32"] == pytest.approx(1e-6 + tried.error)
    rows = toy_rows(200, seed=3)
    with Predictor.load(toy.bundle) as predictor:
        error = np.abs(predictor.predict_batch(rows)["click"] - toy.scores(rows)["click"]).max()
    assert 0 < error < bound


def held_out(toy, rows):
    """Rows whose label is what the model finds likely, so that AUC is high."""
    generator = toy.experiment.generator
    labels = (toy.scores(rows)["click"] > np.median(toy.scores(rows)["click"])).astype(np.float32)

    def read():
        batch = Batch.of(generator.transform(rows), outputs=generator.outputs)
        yield replace(batch, labels={"click": torch.from_numpy(labels)})

    return read


def exported(toy, rows, path, **export):
    told = toy.experiment.resolved()
    told["export"] = {"runtimes": ["torch_export"], **export}
    experiment = load_experiment(told)
    export_bundle(experiment, toy.trained, rows, path, held_out=held_out(toy, rows))
    return manifest_of(path)


@pytest.fixture(scope="module")
def wild(make_toy, tmp_path_factory):
    """A model with a huge number in every row that it does not read: beside it, int8 has no steps left for the others."""
    toy = make_toy({"type": "dnn", "hidden": [16], "embedding_dim": 24}, tmp_path_factory.mktemp("wild") / "bundle")
    first = next(module for module in toy.trained.model.modules() if isinstance(module, torch.nn.Linear))
    with torch.no_grad():
        first.weight *= 5
        first.weight[:, ::24] = 0
    for weights in toy.trained.collection.weights.values():
        weights[:, 0] = 300
    return toy


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [({"max_score_error": 1.0}, "AUC of 'click' drops by"), ({"max_auc_drop": 1.0}, "a score moves by")],
    ids=["auc", "score"],
)
def test_the_gate_refuses_a_harmful_rounding(wild, toy_rows, tmp_path, bounds, reason):
    found = exported(wild, toy_rows(400, seed=5), tmp_path / "b", tables="int8", **bounds)
    assert found.tables == "fp32"
    (tried,) = found.tried
    assert not tried.kept
    assert reason in tried.reason
    assert tried.rows == 400
    assert not (tmp_path / "b" / "tables.lossy").exists()
    rows = toy_rows(50, seed=6)
    with Predictor.load(tmp_path / "b") as predictor:
        np.testing.assert_allclose(predictor.predict_batch(rows)["click"], wild.scores(rows)["click"], atol=1e-6)


def test_the_gate_lets_a_harmless_rounding_pass(make_toy, toy_rows, tmp_path):
    toy = make_toy(DEEPFM, tmp_path / "first")
    found = exported(toy, toy_rows(400, seed=5), tmp_path / "b", tables="fp16", max_auc_drop=0.001)
    (tried,) = found.tried
    assert tried.kept
    assert found.tables == "fp16"
    assert set(tried.auc_drop) == {"click"}
    assert abs(tried.auc_drop["click"]) <= 0.001
    assert 0 < tried.score_error < 0.01


@pytest.mark.slow
def test_int8_products_pass_the_gate_or_leave_fp32(make_toy, toy_rows, tmp_path):
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    toy = make_toy({**DEEPFM, "hidden": [64, 32]}, tmp_path / "first")
    rows = toy_rows(400, seed=5)
    kept = exported(toy, rows, tmp_path / "a", runtimes=["onnx"], precision="int8", max_auc_drop=1, max_score_error=1)
    assert kept.runtimes["onnx"].precision == "int8"
    assert kept.runtimes["torch_export"].precision == "fp32"
    assert Predictor.load(tmp_path / "a", runtime="onnx").runtime == "onnx"
    refused = exported(toy, rows, tmp_path / "b", runtimes=["onnx"], precision="int8", max_score_error=1e-7)
    assert refused.runtimes["onnx"].precision == "fp32"
    assert [(a.precision, a.kept) for a in refused.tried] == [("int8", False), ("fp32", True)]


@pytest.mark.slow
def test_a_table_that_fp16_cannot_hold_stays_as_it_is(make_toy, tmp_path):
    toy = make_toy(DEEPFM, tmp_path / "first")
    next(iter(toy.trained.collection.weights.values()))[0] = 1e5
    found = exported(toy, _plain(toy), tmp_path / "b", tables="fp16")
    assert found.tables == "fp32"
    assert "fp16 cannot hold" in found.tried[0].reason


def _plain(toy):
    return WarmupRows.load(toy.bundle / "warmup").rows


@pytest.mark.parametrize(
    ("export", "problem"),
    [
        ({"precision": "int8"}, "kernels and onnx have: list one"),
        ({"precision": "bf16", "runtimes": "auto"}, "only aot_inductor has"),
        ({"runtime": "onnx"}, "which 'runtimes' does not list"),
        ({"runtimes": ["torch_export", "torch_export"]}, "lists one of them twice"),
    ],
    ids=["int8", "bf16", "runtime", "twice"],
)
def test_what_no_runtime_has_is_a_problem_of_the_config(make_toy, tmp_path, export, problem):
    with pytest.raises(ConfigError, match=problem):
        make_toy(DEEPFM, tmp_path / "b", export=export)


def test_the_guides_configuration_exports(make_toy, tmp_path):
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    page = (Path(__file__).parents[2] / "docs" / "guide" / "export.md").read_text()
    (config,) = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL))
    toy = make_toy({**DEEPFM, "embedding_dim": 24}, tmp_path / "b", **config)
    found = manifest_of(toy.bundle)
    assert (found.tables, sorted(found.runtimes)) == ("fp16+int8", ["kernels", "onnx", "torch_export"])
    assert [attempt.kept for attempt in found.tried] == [True, True, True]
    Predictor.load(toy.bundle)


def test_an_unknown_table_is_a_problem_of_the_config(make_toy, tmp_path):
    with pytest.raises(ConfigError, match="no table is called 'user_idd'; did you mean 'user_id'"):
        make_toy(DEEPFM, tmp_path / "b", export={"tables": {"user_idd": "fp16"}})


@pytest.mark.slow
def test_a_delta_of_packed_tables_makes_the_newer_bundle(make_toy, tmp_path):
    toy = make_toy({**DEEPFM, "embedding_dim": 24}, tmp_path / "old", export={"tables": "int8", "max_score_error": 1})
    for weights in toy.trained.collection.weights.values():
        weights[:3] += 0.1
    export_bundle(toy.experiment, toy.trained, _plain(toy), tmp_path / "new")
    made = easyrec.make_delta(tmp_path / "old", tmp_path / "new", tmp_path / "delta")
    assert any(0 < changed < 100 for changed in made.changed.values())
    easyrec.apply_delta(tmp_path / "old", tmp_path / "delta", tmp_path / "result")
    for path in (tmp_path / "new").rglob("*.npy"):
        assert path.read_bytes() == (tmp_path / "result" / path.relative_to(tmp_path / "new")).read_bytes()
    Predictor.load(tmp_path / "result")
