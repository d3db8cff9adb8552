"""What stands between a changed bundle and an answer: checksums first, then the replay of the warm-up rows."""

import hashlib
import json
import random
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from easyrec.errors import BundleError, DataError
from easyrec.export.bundle import CHECKSUM, MANIFEST, Bundle
from easyrec.export.warmup import WarmupRows, largest_error
from serving import Predictor


@pytest.fixture
def bundle(toys, tmp_path):
    """A copy to break."""
    shutil.copytree(toys("deepfm").bundle, tmp_path / "bundle")
    return tmp_path / "bundle"


def reseal(bundle, change=lambda manifest: None):
    """Make all checksums fit again, as whoever writes a bundle can."""
    manifest = json.loads((bundle / MANIFEST).read_bytes())
    for name in list(manifest["files"]):
        if (bundle / name).exists():
            content = (bundle / name).read_bytes()
            manifest["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        else:
            del manifest["files"][name]
    change(manifest)
    text = json.dumps(manifest).encode()
    (bundle / MANIFEST).write_bytes(text)
    (bundle / CHECKSUM).write_text(f"{hashlib.sha256(text).hexdigest()}  {MANIFEST}\n")


def edit_json(path, change):
    data = json.loads(path.read_bytes())
    change(data)
    path.write_text(json.dumps(data))


def forge_features(bundle, change):
    edit_json(bundle / "generator" / "features.json", change)
    content = (bundle / "generator" / "features.json").read_bytes()
    edit_json(
        bundle / "generator" / "manifest.json",
        lambda m: m["files"].update({"features.json": hashlib.sha256(content).hexdigest()}),
    )
    reseal(bundle)


def test_a_copy_loads(bundle):
    reseal(bundle)
    assert Predictor.load(bundle).manifest.name == "toy"


def test_one_flipped_bit_in_any_file_is_refused(bundle):
    names = [str(p.relative_to(bundle)) for p in bundle.rglob("*") if p.is_file()]
    assert {n.split("/")[0] for n in names} == {
        *("generator", "program", "request", "tables", "warmup", "profile.json", MANIFEST, CHECKSUM)
    }
    for name in names:
        path = bundle / name
        original = path.read_bytes()
        for position in (0, len(original) // 2, len(original) - 1):
            path.write_bytes(original[:position] + bytes([original[position] ^ 4]) + original[position + 1 :])
            with pytest.raises(BundleError):
                Predictor.load(bundle)
        path.write_bytes(original)
    Predictor.load(bundle)


@pytest.mark.parametrize("folder", ["generator", "program", "tables", "warmup"])
def test_a_missing_part_is_refused_even_if_the_manifest_agrees(bundle, folder):
    shutil.rmtree(bundle / folder)
    reseal(bundle)
    with pytest.raises(BundleError, match=f"no file in '{folder}/'"):
        Predictor.load(bundle)


def test_each_single_missing_file_is_refused_even_if_the_manifest_agrees(bundle):
    names = [str(p.relative_to(bundle)) for p in bundle.rglob("*") if p.is_file() and p.parent != bundle]
    for name in names:
        original = (bundle / name).read_bytes()
        (bundle / name).unlink()
        reseal(bundle)
        with pytest.raises(BundleError):
            Predictor.load(bundle)
        (bundle / name).write_bytes(original)
        reseal(
            bundle,
            lambda m, n=name, o=original: m["files"].update(
                {n: {"sha256": hashlib.sha256(o).hexdigest(), "bytes": len(o)}}
            ),
        )
    Predictor.load(bundle)


def test_each_truncated_file_is_refused_even_if_the_manifest_agrees(bundle):
    for path in [p for p in bundle.rglob("*") if p.is_file() and p.parent != bundle]:
        original = path.read_bytes()
        for size in (0, len(original) // 2, len(original) - 2):
            path.write_bytes(original[:size])
            reseal(bundle)
            with pytest.raises(BundleError):
                Predictor.load(bundle)
        path.write_bytes(original)
    reseal(bundle)
    Predictor.load(bundle)


def test_other_weights_of_a_table_do_not_score_as_trained(bundle):
    path = bundle / "tables" / "0.npy"
    table = np.load(path)
    np.save(path, table + np.float32(1e-3))
    reseal(bundle)
    with pytest.raises(BundleError, match=r"task 'click' differs by .*, allowed are 1e-06"):
        Predictor.load(bundle)
    Predictor.load(bundle, verify=False)  # on one's own responsibility


def test_other_weights_of_the_program_do_not_score_as_trained(bundle):
    path = bundle / "program" / "weights.safetensors"
    weights = load_file(path)
    weights = {name: w + np.float32(1e-3) for name, w in weights.items()}
    save_file(weights, path)
    reseal(bundle)
    with pytest.raises(BundleError, match="does not score as trained"):
        Predictor.load(bundle)


def test_another_hash_is_another_generator(bundle):
    forge_features(bundle, lambda data: data.update(hash="farmhash"))
    with pytest.raises(BundleError, match="generator"):
        Predictor.load(bundle)


def test_features_that_differ_from_training_are_named(bundle):
    edit_json(bundle / "warmup" / "features.json", lambda f: f.update(cate="0" * 64))
    reseal(bundle)
    with pytest.raises(BundleError, match=r"features that the model was trained on: cate$"):
        Predictor.load(bundle)


def test_scores_beyond_the_tolerance_are_refused_and_within_it_accepted(bundle):
    kept = WarmupRows.load(bundle / "warmup")
    for offset, accepted in ((5e-7, True), (3e-6, False)):
        moved = {name: p + np.float32(offset) * (p < 0.5) for name, p in kept.predictions.items()}
        WarmupRows(kept.rows, moved, moved, kept.features).save(bundle / "warmup")
        reseal(bundle)
        if accepted:
            Predictor.load(bundle)
        else:
            with pytest.raises(BundleError, match=r"differs by 3.*e-06, allowed are 1e-06"):
                Predictor.load(bundle)


def test_scores_of_other_tasks_are_refused(bundle):
    kept = WarmupRows.load(bundle / "warmup")
    other = {"buy": kept.scores["click"]}
    WarmupRows(kept.rows, other, other, kept.features).save(bundle / "warmup")
    reseal(bundle)
    with pytest.raises(BundleError, match="other tasks"):
        Predictor.load(bundle)


@pytest.mark.parametrize(
    "operator",
    [
        "aten.from_file.default",
        "aten.rand.default",
        "aten.relu_.default",
        "os.system",
        "aten.__class__.default",
        "import_module",
    ],
)
def test_a_program_can_call_nothing_but_its_operators(bundle, operator):
    def change(data):
        data["calls"][0] = [operator, ["/etc/passwd"], {}]

    edit_json(bundle / "program" / "program.json", change)
    reseal(bundle)
    with pytest.raises(BundleError, match=r"program.json: the program calls"):
        Predictor.load(bundle, verify=False)


def test_a_signature_of_too_few_warmup_rows_is_refused(bundle):
    reseal(bundle, lambda m: m["warmup"].update(rows=3))
    with pytest.raises(BundleError, match="64 warm-up rows, not 3"):
        Predictor.load(bundle)


def test_json_too_deep_for_its_reader_is_refused(bundle):
    (bundle / "generator" / "features.json").write_bytes(b"[" * 200_000)
    reseal(bundle)
    with pytest.raises(BundleError, match=r"features\.json"):
        Predictor.load(bundle)


def test_a_newer_bundle_says_what_to_upgrade(bundle):
    reseal(bundle, lambda m: m.update(format_version=99))
    with pytest.raises(BundleError, match=r"format 99.*pip install --upgrade"):
        Predictor.load(bundle)


def test_the_manifest_tells_the_whole_story(toys):
    manifest = Bundle.open(toys("din").bundle).manifest
    assert manifest.config["model"]["type"] == "din"
    assert {c.name: c.side for c in manifest.signature.inputs}["click_seq__item_id"] == "user"
    assert {c.name: c.type for c in manifest.signature.inputs}["price"] == "double"
    assert [(o.name, o.meaning, o.shape) for o in manifest.signature.outputs] == [("click", "probability", [])]
    assert manifest.metrics == {"valid": {"auc": 0.7}}
    assert manifest.runtimes["torch_export"].tolerance == {"fp32": 1e-6}
    assert {"torch", "numpy", "pyarrow", "python"} <= set(manifest.versions)
    assert {f["name"] for f in manifest.features} >= {"cate", "click_seq__cate"}
    assert {t["name"] for t in manifest.embeddings["tables"]} >= {"cate", "item_id"}


@pytest.mark.parametrize(
    ("found", "expected", "error"),
    [
        ([0.5], [0.5], 0.0),
        ([0.5], [0.25], 0.25),
        ([1000.0], [1001.0], 1 / 1001),
        ([np.nan], [np.nan], 0.0),
        ([np.nan], [0.5], np.inf),
        ([0.5], [np.nan], np.inf),
        ([np.inf], [np.inf], 0.0),
        ([0.5, 0.5], [0.5], np.inf),
        ([[3.0, 4.5], [0.5, 0.0]], [[3.0, 4.0], [0.25, 0.0]], 0.25),
        ([[3.0, 4.5], [0.0, 0.0]], [[3.0, 4.0], [0.0, 0.0]], 0.1),
        ([[0.5, np.inf]], [[0.25, np.inf]], 0.25),
    ],
    ids=[
        "equal",
        "absolute",
        "relative",
        "nan",
        "nan-found",
        "nan-expected",
        "infinite",
        "shape",
        "short-vector",
        "long-vector",
        "infinite-vector",
    ],
)
def test_the_largest_error(found, expected, error):
    assert largest_error(np.float32(found), np.float32(expected)) == pytest.approx(error)


@pytest.fixture(scope="module")
def with_vocabulary(make_toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocabulary")
    (folder / "words.txt").write_text("book\ntoy\nfood\n")
    features = [
        {
            "type": "id",
            "name": "cate",
            "expression": "item:cate",
            "vocab_file": str(folder / "words.txt"),
            "default_bucketize_value": 0,
        }
    ]
    toy = make_toy({"type": "lr"}, folder / "bundle", features=features)
    (folder / "words.txt").unlink()  # the bundle has its own
    return toy.bundle


@pytest.mark.parametrize("path", ["/etc/passwd", "/dev/zero", "../tables/0.npy", "vocabularies/../../x", "nothing"])
def test_a_vocabulary_outside_of_the_bundle_is_not_read(with_vocabulary, tmp_path, path):
    bundle = shutil.copytree(with_vocabulary, tmp_path / "bundle")
    Predictor.load(bundle).close()
    forge_features(bundle, lambda data: data["features"][0].update(vocab_file=path))
    with pytest.raises(BundleError, match="no file of the bundle"):
        Predictor.load(bundle)


@pytest.mark.parametrize("place", ["default_value", "name"])
def test_a_bundle_does_not_see_the_environment(bundle, place):
    forge_features(bundle, lambda data: data["features"][0].update({place: "x${HOME}"}))
    with pytest.raises(BundleError, match="names an environment variable"):
        Predictor.load(bundle)


def mutated(value, draw):
    """Plain data with one value changed, doubled or removed."""
    places = []

    def walk(node, parent, key):
        if parent is not None:
            places.append((parent, key))
        for at in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            walk(node[at], node, at)

    walk(value, None, None)
    parent, key = draw.choice(places)
    strange = [None, True, -1, 2**40, 2**70, 1.5, "", "x", "../x", [], {}, {"value": 0}, "aten.add.Tensor", "é\x00"]
    what = draw.random()
    if isinstance(parent[key], int) and what < 0.4:
        parent[key] = int(parent[key]) + draw.choice([-1, 1, 7, 10**6])
    elif what < 0.8:
        parent[key] = draw.choice(strange)
    else:
        del parent[key]
    return value


@pytest.mark.parametrize("seed", range(2))
def test_bundles_changed_at_random_are_refused_or_load(toys, toy_rows, tmp_path, seed):
    """By someone who can write checksums: never another error, never a crash."""
    good, draw, refused = toys("din").bundle, random.Random(seed), 0
    names = [str(p.relative_to(good)) for p in sorted(good.rglob("*")) if p.is_file() and p.parent != good]
    json_names = [name for name in names if name.endswith(".json")]
    bundle = shutil.copytree(good, tmp_path / "bundle")
    for _ in range(60):
        name = draw.choice(names + json_names * 3)
        original = (bundle / name).read_bytes()
        if name.endswith(".json"):
            content = json.dumps(mutated(json.loads(original), draw)).encode()
        else:
            content = bytearray(original)
            for _ in range(draw.choice([1, 3, 20])):
                content[draw.randrange(min(len(content), 400))] = draw.randrange(256)
        (bundle / name).write_bytes(content)
        reseal(bundle)
        try:
            with Predictor.load(bundle, verify=draw.random() < 0.5) as predictor:
                predictor.predict_batch(toy_rows(5))
        except (BundleError, DataError):
            refused += 1
        (bundle / name).write_bytes(original)
    assert refused > 20
