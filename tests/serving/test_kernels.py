"""Requests scored by the compiled kernels: sums computed ahead or not, they score as trained, by torch or without it."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from easyrec.errors import BundleError
from easyrec.export.bundle import Bundle
from easyrec.export.kernels.sums import MATRICES, SUMS, Given
from serving import Predictor
from serving.catalogue import Catalogue

ALONE = ["user_id", "level", "click_seq__item_id", "click_seq__cate", "scene"]
NUMBERS = [
    {"type": "raw", "name": "rate", "expression": "item:score", "dense_embedding": "linear", "embedding_dim": 8},
    {"type": "raw", "name": "rank", "expression": "user:level", "dense_embedding": "linear", "embedding_dim": 8},
]
DEEPFM = {"type": "deepfm", "hidden": [64, 32], "batch_norm": True}


def requests_of(rows):
    """The user of the first row with all items."""
    one = rows.slice(0, 1)
    given = [name for name in ALONE if name in rows.schema.names]
    items = rows.select([c for c in rows.schema.names if c not in given])
    return {"user": one.select(given[:-1]), "items": items, "context": one.select(["scene"])}


@pytest.fixture(scope="module")
def shop_features(make_toy):
    """Those of the shop but what mixes both sides, with numbers of both as fields."""
    found = sys.modules[make_toy.__module__].FEATURES[:-1]
    return [*(feature for feature in found if feature["type"] != "combo"), *NUMBERS]


@pytest.fixture(scope="module")
def toy(make_toy, shop_features, tmp_path_factory):
    path = tmp_path_factory.mktemp("kernels") / "bundle"
    return make_toy(DEEPFM, path, features=shop_features, export={"runtimes": ["kernels"]})


def test_sums_over_small_tables_are_computed_ahead(toy):
    manifest = Bundle.open(toy.bundle).manifest
    assert manifest.split.folded == ["deep"]
    given = Given.load(toy.bundle / manifest.requests_of("kernels"))
    assert given.folded == ("deep",)
    assert set(given.sums) == {"item/emb:deep", "item/first:deep"}
    assert given.sums["item/emb:deep"].features[-1] == "rate"
    steps = json.loads((toy.bundle / "kernels-request" / "steps.json").read_bytes())
    widths = dict(zip(steps["inputs"], steps["values"], strict=False))
    products = {step["x"] for step in steps["steps"] if step["kind"] == "product"}
    assert steps["inputs"].index("user/emb:deep") in products
    assert steps["inputs"].index("item/emb:deep") not in products  # of candidates' fields nothing is left to multiply
    assert widths["user/emb:deep"] == [True, 8 * 3 + 1]


@pytest.mark.parametrize("rows", [1, 5, 300])
def test_requests_score_as_by_torch(toy, toy_rows, rows):
    asked = requests_of(toy_rows(rows, seed=rows))
    ours, theirs = (Predictor.load(toy.bundle, runtime=name) for name in ("kernels", "torch_export"))
    assert ours.runtime == "kernels"
    np.testing.assert_allclose(ours.predict(**asked)["click"], theirs.predict(**asked)["click"], atol=1e-6)
    batch = toy_rows(rows, seed=7)
    np.testing.assert_allclose(ours.predict_batch(batch)["click"], toy.scores(batch)["click"], atol=1e-5)
    nobody = {**asked, "items": asked["items"].slice(0, 0)}
    assert ours.predict(**nobody)["click"].shape == (0,)


def test_items_by_key_are_scored_with_their_sums(toy, toy_rows):
    asked = requests_of(toy_rows(40, seed=2))
    keys = [f"k{i}" for i in range(40)]
    items = asked["items"].append_column("key", pa.array(keys))
    predictor = Predictor.load(toy.bundle, runtime="kernels")
    wanted = predictor.predict(**asked)["click"]
    for ahead, found in (("features", "features"), ("embeddings", "embeddings"), ("layers", "embeddings")):
        predictor.catalogue = Catalogue(predictor, items, key="key", ahead=ahead)
        assert predictor.catalogue.ahead == found  # sums are layers already
        scores = predictor.predict(asked["user"], keys[::-1], asked["context"])["click"]
        np.testing.assert_allclose(scores, wanted[::-1], atol=1e-6)


def test_without_room_nothing_is_computed_ahead(make_toy, toy_rows, shop_features, tmp_path):
    some = {"runtimes": ["kernels"], "sums_mb": 0.2}
    for export, summed in (({"runtimes": ["kernels"], "sums_mb": 0}, None), (some, "some")):
        path = tmp_path / str(summed)
        toy = make_toy(DEEPFM, path, features=shop_features, export=export)
        given = Given.load(path / "kernels-request")
        features_ = () if given is None else given.sums["item/emb:deep"].features
        assert ("cate" in features_, "item_id" in features_) == (summed is not None, False)
        asked = requests_of(toy_rows(30, seed=5))
        ours, theirs = (Predictor.load(toy.bundle, runtime=name) for name in ("kernels", "torch_export"))
        np.testing.assert_allclose(ours.predict(**asked)["click"], theirs.predict(**asked)["click"], atol=1e-6)


def test_int8_moves_scores_as_far_as_the_manifest_says(make_toy, toy_rows, shop_features, tmp_path):
    export = {"runtimes": ["kernels"], "precision": "int8", "max_score_error": 0.2, "tables": "int8"}
    toy = make_toy(DEEPFM, tmp_path / "bundle", features=shop_features, export=export)
    entry = Bundle.open(toy.bundle).manifest.runtimes["kernels"]
    assert entry.precision == "int8"
    ours, theirs = (Predictor.load(toy.bundle, runtime=name) for name in ("kernels", "torch_export"))
    asked = requests_of(toy_rows(200, seed=5))
    error = np.abs(ours.predict(**asked)["click"] - theirs.predict(**asked)["click"]).max()
    assert 0.0 < error < 0.2


def test_neither_torch_nor_another_runtime_is_loaded(toy):
    code = (
        "import sys; from serving import Predictor; "
        f"assert Predictor.load({str(toy.bundle)!r}, runtime='kernels').runtime == 'kernels'; "
        "assert not {'torch', 'onnxruntime'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


DAMAGE = {
    "a feature": lambda data: data["inputs"]["item/emb:deep"]["features"].__setitem__(0, "none"),
    "a feature less": lambda data: data["inputs"]["item/emb:deep"]["features"].pop(),
    "an input": lambda data: data["inputs"].update({"item/emb:none": data["inputs"].pop("item/emb:deep")}),
    "a power": lambda data: data["inputs"]["item/emb:deep"]["blocks"][0].__setitem__(0, 3),
    "a size": lambda data: data["inputs"]["item/emb:deep"]["blocks"][0].__setitem__(1, 10**9),
    "a group": lambda data: data.update(folded=["none"]),
    "no inputs": lambda data: data.pop("inputs"),
}


@pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE)
def test_damaged_sums_are_refused(toy, change, tmp_path):
    shutil.copytree(toy.bundle, tmp_path / "bundle")
    file = tmp_path / "bundle" / "kernels-request" / SUMS
    data = json.loads(file.read_bytes())
    change(data)
    file.write_text(json.dumps(data))
    with pytest.raises(BundleError):
        Predictor.load(tmp_path / "bundle", runtime="kernels", verify=False)


def test_matrices_of_another_type_are_refused(toy, tmp_path):
    shutil.copytree(toy.bundle, tmp_path / "bundle")
    file = tmp_path / "bundle" / "kernels-request" / MATRICES
    np.save(file, np.load(file).astype(np.float64))
    with pytest.raises(BundleError, match="is damaged"):
        Predictor.load(tmp_path / "bundle", runtime="kernels", verify=False)
