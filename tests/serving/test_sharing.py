"""Tables that several bundles hold are mapped once in a process."""

import gc
import shutil

import numpy as np
import pytest

from easyrec.embedding import sharing
from serving import Predictor
from serving.runtimes import aot_inductor

FEATURES = [
    {"type": "id", "name": "user_id", "expression": "user:user_id", "hash_bucket_size": 100, "embedding_dim": 8},
    {"type": "id", "name": "item_id", "expression": "item:item_id", "dynamic": {"capacity": 100}, "embedding_dim": 8},
]


def arrays(predictor):
    tables = predictor._open()[0]
    return {**tables.weights, **{f"keys of {name}": keys.slots for name, keys in tables.keys.items()}}


def mapped():
    gc.collect()
    return len(sharing._mapped)


def test_tables_of_one_content_are_mapped_once_dynamic_ones_too(make_toy, toys, tmp_path, toy_rows):
    before = mapped()
    toy = make_toy({"type": "fm"}, tmp_path / "one", features=FEATURES, rows=toy_rows(40))
    shutil.copytree(toy.bundle, tmp_path / "other")
    with Predictor.load(tmp_path / "one") as one, Predictor.load(tmp_path / "other") as other:
        ours, theirs = arrays(one), arrays(other)
        assert any(name.startswith("keys of") for name in ours)
        for name in ours:
            assert ours[name] is theirs[name], name
        with Predictor.load(tmp_path / "other", verify=False) as unknown:  # nobody has looked at its bytes
            for name, array in arrays(unknown).items():
                assert ours[name] is not array, name
        with Predictor.load(toys("deepfm").bundle) as different:
            assert not any(a is b for a in ours.values() for b in arrays(different).values())
        del ours, theirs, array
    del one, other, unknown, different
    assert mapped() == before


def test_what_cannot_be_mapped_is_not_remembered():
    def fail():
        raise OSError("no such file")

    for _ in range(2):
        with pytest.raises(OSError, match="no such file"):
            sharing.mapped_once(("a checksum", 1), fail)
    first = sharing.mapped_once(("a checksum", 1), lambda: np.zeros(1))
    assert sharing.mapped_once(("a checksum", 1), lambda: np.ones(1)) is first
    assert sharing.mapped_once(None, lambda: np.ones(1)) is not first


def test_a_runtime_gets_as_many_runners_as_there_are_sessions(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(aot_inductor, "Package", lambda folder, runners: seen.append(runners))
    for sessions in (3, None):
        aot_inductor.load(tmp_path, sessions)
    assert seen == [3, None]
