import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from easyrec.metrics import build
from easyrec.metrics._ranking import concordance
from feature_generator.config import member


def value(name, labels, scores, weights=None, users=None, **keys):
    metric = build(member("easyrec.metrics", name).Config(**keys))
    columns = {} if users is None else {"user": pa.array(users)}
    weights = None if weights is None else np.array(weights, np.float32)
    metric.update(np.array(labels, np.float32), np.array(scores, np.float32), weights, columns)
    return metric.compute()


def counted(scores, labels, weights):
    """Pairs in order, and pairs, by comparing each row with each."""
    above = labels[:, None] > labels[None, :]
    order = (scores[:, None] > scores[None, :]) + 0.5 * (scores[:, None] == scores[None, :])
    both = weights[:, None] * weights[None, :]
    return (above * order * both).sum(), (above * both).sum()


def drawn(n, seed):
    r = np.random.default_rng(seed)
    decimals = int(r.integers(0, 3))
    scores = np.round(r.normal(size=n), decimals).astype(np.float32)
    labels = np.round(scores + r.normal(size=n), int(r.integers(0, 2))).astype(np.float32)
    return scores, labels, r.random(n), r.integers(0, 1 + n // 4, n)


def test_worked_by_hand():
    # 3 > 2: scores 1 < 2; 3 > 1: 1 = 1, half; 2 > 1: 2 > 1
    assert value("xauc", [3, 2, 1], [1, 2, 1]) == pytest.approx(1.5 / 3)
    assert value("xauc", [3, 2, 1], [1, 2, 1], [1, 2, 3]) == pytest.approx((0.5 * 3 + 6) / (2 + 3 + 6))


@pytest.mark.parametrize("seed", range(40))
def test_equals_comparing_each_with_each(seed):
    scores, labels, weights, _ = drawn(1 + 3 * seed, seed)
    found = concordance(scores, labels, weights)
    assert [float(part[0]) for part in found] == pytest.approx(list(counted(scores, labels, weights)), abs=1e-9)


@pytest.mark.parametrize("seed", range(40))
def test_groups_are_counted_apart(seed):
    scores, labels, weights, groups = drawn(1 + 3 * seed, seed)
    _, groups = np.unique(groups, return_inverse=True)
    ordered, pairs = concordance(scores, labels, weights, groups)
    for g in range(groups.max() + 1):
        mine = groups == g
        expected = counted(scores[mine], labels[mine], weights[mine])
        assert (ordered[g], pairs[g]) == pytest.approx(expected, abs=1e-9)


def test_of_two_labels_it_is_the_auc():
    r = np.random.default_rng(0)
    scores = np.round(r.normal(size=20_000), 2).astype(np.float32)
    labels, weights = (r.random(20_000) < 0.2).astype(np.float32), r.random(20_000).astype(np.float32)
    expected = roc_auc_score(labels, scores, sample_weight=weights.astype(float))
    assert value("xauc", labels, scores, weights) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("weighting", "expected"),
    [("plain", (1 + 0.5) / 2), ("samples", (2 * 1 + 3 * 0.5) / 5), ("pairs", (1 * 1 + 2 * 0.5) / 3)],
)
def test_groups_are_averaged(weighting, expected):
    # a: 1 of 1 pairs; b: 1 of 2 pairs, the third has equal labels; c has no pairs
    labels, scores, users = [2, 1, 5, 5, 3, 7], [0.9, 0.1, 0.1, 0.9, 0.5, 1.0], list("aabbbc")
    assert value("grouped_xauc", labels, scores, None, users, by="user", weighting=weighting) == pytest.approx(expected)


def test_equal_labels_have_no_value():
    assert np.isnan(value("xauc", [1, 1], [0.1, 0.2]))
    assert np.isnan(value("grouped_xauc", [1, 2], [0.1, 0.2], None, ["a", "b"], by="user"))
