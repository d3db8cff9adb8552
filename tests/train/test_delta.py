"""Deltas between bundles: they make the newer one to the byte, are small where few rows changed, and refuse what is damaged."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import easyrec
from easyrec.cli import main
from easyrec.errors import BundleError, RunError
from easyrec.export.bundle import Bundle
from easyrec.export.delta import apply_delta, make_delta
from serving import Predictor

DYNAMIC = [
    {
        "type": "id",
        "name": "user_id",
        "expression": "user:user_id",
        "dynamic": {"capacity": 64, "admission": {"min_count": 2}},
    },
    {"type": "id", "name": "item_id", "expression": "item:item_id", "dynamic": {"capacity": 64}},
    {"type": "raw", "name": "price", "expression": "item:price"},
]


@pytest.fixture(scope="module", params=["static", "dynamic"])
def days(request, tmp_path_factory, toy_experiment, data):
    """Bundles of one model before and after it learned on."""
    from easyrec.train.trainer import Trainer

    path = tmp_path_factory.mktemp("days")
    dynamic = {"features": DYNAMIC} if request.param == "dynamic" else {}
    few = data["train"][(data["train"]["user_id"] < 9) & (data["train"]["item_id"] < 9)]
    for day, start, rows in ((1, None, data["train"]), (2, str(path / "run-1"), few)):
        experiment = toy_experiment(train__epochs=1, train__init_from=start, **dynamic)
        Trainer(experiment, path / f"run-{day}", data={**data, "train": rows}, bar=False, export=True).fit()
        shutil.copytree(path / f"run-{day}" / "bundle", path / f"day-{day}")
    return path


def contents(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_applying_gives_the_newer_bundle_to_the_byte(days, tmp_path, data):
    made = make_delta(days / "day-1", days / "day-2", tmp_path / "delta")
    assert 0 < made.changed["tables/0.npy"] <= 9
    applied = apply_delta(days / "day-1", tmp_path / "delta", tmp_path / "applied")
    assert contents(applied) == contents(days / "day-2")
    scores = []
    for bundle in (applied, days / "day-2"):
        with Predictor.load(bundle) as predictor:
            scores.append(predictor.predict_batch(data["test"])["click"])
    np.testing.assert_array_equal(*scores)


def test_the_commands_do_so_too(days, tmp_path, capsys):
    assert main(["delta", "make", str(days / "day-1"), str(days / "day-2"), "--output", str(tmp_path / "d")]) == 0
    assert "tables/0.npy" in capsys.readouterr().out
    assert main(["delta", "apply", str(days / "day-1"), str(tmp_path / "d"), "--output", str(tmp_path / "b")]) == 0
    assert contents(tmp_path / "b") == contents(days / "day-2")


def test_a_delta_of_equal_bundles_changes_nothing(days, tmp_path):
    made = make_delta(days / "day-1", days / "day-1", tmp_path / "delta")
    assert made.changed == {}
    assert contents(apply_delta(days / "day-1", tmp_path / "delta", tmp_path / "b")) == contents(days / "day-1")


def test_another_bundle_is_refused(days, tmp_path):
    easyrec.make_delta(days / "day-1", days / "day-2", tmp_path / "delta")
    with pytest.raises(BundleError, match="what this delta makes already"):
        easyrec.apply_delta(days / "day-2", tmp_path / "delta", tmp_path / "b")
    make_delta(days / "day-2", days / "day-1", tmp_path / "back")
    with pytest.raises(BundleError, match="is what this delta makes already"):
        apply_delta(days / "day-1", tmp_path / "back", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_what_is_there_is_kept(days, tmp_path):
    make_delta(days / "day-1", days / "day-2", tmp_path / "delta")
    with pytest.raises(RunError, match="exists"):
        make_delta(days / "day-1", days / "day-2", tmp_path / "delta")
    shutil.copytree(days / "day-1", tmp_path / "served")
    with pytest.raises(RunError, match="exists"):
        apply_delta(tmp_path / "served", tmp_path / "delta", tmp_path / "served")
    apply_delta(tmp_path / "served", tmp_path / "delta", tmp_path / "served", overwrite=True)
    assert contents(tmp_path / "served") == contents(days / "day-2")


def test_every_damaged_byte_is_found(days, tmp_path):
    """One byte of each file, in the delta and in the bundle that it begins at."""
    make_delta(days / "day-1", days / "day-2", tmp_path / "delta")
    shutil.copytree(days / "day-1", tmp_path / "base")
    random = np.random.default_rng(1)
    files = [p for folder in ("delta", "base") for p in sorted((tmp_path / folder).rglob("*")) if p.is_file()]
    assert len(files) > 10
    for path in files:
        good = path.read_bytes()
        at = int(random.integers(len(good)))
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(BundleError):
            apply_delta(tmp_path / "base", tmp_path / "delta", tmp_path / "b")
        assert not (tmp_path / "b").exists()
        path.write_bytes(good)
    apply_delta(tmp_path / "base", tmp_path / "delta", tmp_path / "b")


@pytest.mark.parametrize("changed", [1, 100, 1000])
def test_its_size_is_that_of_the_rows_that_changed(days, tmp_path, changed):
    """A bundle whose first table is large."""
    from easyrec.export.bundle import write_bundle

    def written(name, table):
        source = Bundle.open(days / "day-1")
        with write_bundle(tmp_path / name) as draft:
            shutil.copytree(days / "day-1", draft.path, dirs_exist_ok=True)
            for file in ("manifest.json", "manifest.sha256"):
                (draft.path / file).unlink()
            np.save(draft.path / "tables" / "0.npy", table)
            draft.manifest = source.manifest
        return tmp_path / name

    random = np.random.default_rng(2)
    table = random.normal(size=(50_000, 16)).astype(np.float32)
    after = table.copy()
    after[random.choice(len(table), changed, replace=False)] += 1.0
    after = np.concatenate([after, after[:changed]])  # and new ones
    old, new = written("old", table), written("new", after)
    made = make_delta(old, new, tmp_path / "delta")
    assert (made.changed, made.whole) == ({"tables/0.npy": 2 * changed}, ())
    assert made.bytes < 2 * changed * (16 * 4 + 8) + 60_000
    assert contents(apply_delta(old, tmp_path / "delta", tmp_path / "b")) == contents(new)
    made = make_delta(old, written("other", table + 1), tmp_path / "whole")
    assert (made.changed, made.whole) == ({}, ("tables/0.npy",))
