import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from easyrec.metrics import build
from easyrec.metrics.gauc import Config


def gauc(labels, scores, users, weighting="samples", weights=None):
    metric = build(Config(by="user", weighting=weighting))
    metric.update(np.array(labels, np.float32), np.array(scores, np.float32), weights, {"user": users})
    return metric.compute()


@pytest.mark.parametrize(
    ("weighting", "expected"),
    [("plain", (1 + 0.5) / 2), ("samples", (2 * 1 + 3 * 0.5) / 5), ("positives", (1 * 1 + 2 * 0.5) / 3)],
)
def test_worked_by_hand(weighting, expected):
    # a: 1 of 1 pairs; b: 1 of 2 pairs; c has no negative and does not count.
    labels, scores = [1, 0, 1, 0, 1, 1], [0.9, 0.1, 0.2, 0.5, 0.8, 0.4]
    assert gauc(labels, scores, ["a", "a", "b", "b", "b", "c"], weighting) == pytest.approx(expected)


@pytest.mark.parametrize("weighting", ["plain", "samples", "positives"])
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_scikit_learn_group_by_group(weighting, weighted):
    r = np.random.default_rng(0)
    n = 5000
    users, scores = r.integers(0, 300, n), np.round(r.normal(size=n), 1).astype(np.float32)
    labels = (r.random(n) < 0.2).astype(np.float32)
    weights = r.random(n).astype(np.float32) if weighted else np.ones(n, np.float32)
    areas, shares = [], []
    for user in range(300):
        mine = users == user
        if len(set(labels[mine])) < 2:
            continue
        areas.append(roc_auc_score(labels[mine], scores[mine], sample_weight=weights[mine].astype(float)))
        shares.append(
            {"plain": 1, "samples": weights[mine].sum(), "positives": weights[mine] @ labels[mine]}[weighting]
        )
    expected = np.average(areas, weights=shares)
    assert gauc(labels, scores, users, weighting, weights if weighted else None) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "users",
    [
        pa.array(["a", None, None, "a"]),
        pa.chunked_array([["a", None], [None, "a"]]),
        pa.array(["a", None, None, "a"]).dictionary_encode(),
        pa.array([1, None, None, 1]),
        np.array(["a", "b", "b", "a"]),
    ],
    ids=["text", "chunks", "dictionary", "numbers", "numpy"],
)
def test_groups_of_any_kind_and_null_is_a_group(users):
    assert gauc([1, 1, 0, 0], [0.9, 0.1, 0.2, 0.3], users) == 0.5


def test_chunks_with_different_dictionaries():
    metric = build(Config(by="user"))
    for users, labels, scores in ((["a", "b"], [1, 1], [0.9, 0.1]), (["b", "a"], [0, 0], [0.2, 0.3])):
        encoded = pa.array(users).dictionary_encode()
        metric.update(np.array(labels, np.float32), np.array(scores, np.float32), None, {"user": encoded})
    assert metric.compute() == 0.5


def test_no_group_with_both_classes_is_nan():
    assert np.isnan(gauc([1, 0], [0.9, 0.1], ["a", "b"]))


def test_asks_for_its_column():
    assert Config(by="user").columns == ("user",)
