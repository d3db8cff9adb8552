"""One value of each simple metric, worked by hand or by scikit-learn."""

import math

import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss, precision_recall_curve, precision_score, recall_score

from easyrec.metrics import build
from feature_generator.config import member


def value(name, labels, predictions, weights=None, **keys):
    metric = build(member("easyrec.metrics", name).Config(**keys))
    weights = None if weights is None else np.array(weights, np.float32)
    metric.update(np.array(labels, np.float32), np.array(predictions, np.float32), weights, {})
    return metric.compute()


def test_logloss():
    assert value("logloss", [1, 0], [0.5, 0.75]) == pytest.approx((math.log(2) + math.log(4)) / 2)
    assert value("logloss", [1, 0], [0.5, 0.75], [3, 1]) == pytest.approx((3 * math.log(2) + math.log(4)) / 4)


def test_logloss_equals_scikit_learn():
    r = np.random.default_rng(0)
    p, y = r.random(1000).astype(np.float32), r.integers(0, 2, 1000)
    assert value("logloss", y, p) == pytest.approx(log_loss(y, p.astype(np.float64)), rel=1e-9)
    many, y = r.dirichlet([1, 2, 3], 1000).astype(np.float32), r.integers(0, 3, 1000)
    many64 = many.astype(np.float64)
    expected = log_loss(y, many64 / many64.sum(axis=1, keepdims=True))
    assert value("logloss", y, many) == pytest.approx(expected, rel=1e-6)


def test_logloss_of_a_certain_mistake_is_finite():
    assert value("logloss", [1], [0.0]) == pytest.approx(-math.log(1e-7))


def test_calibration():
    assert value("calibration", [1, 0, 0], [0.5, 0.5, 0.2]) == pytest.approx(1.2)
    assert value("calibration", [1, 0], [0.5, 0.5], [1, 3]) == pytest.approx(2.0)
    assert math.isnan(value("calibration", [0, 0], [0.5, 0.5]))


def test_errors_of_values():
    assert value("mse", [1, 2], [3, 1]) == 2.5
    assert value("rmse", [1, 2], [3, 1]) == pytest.approx(math.sqrt(2.5))
    assert value("mae", [1, 2], [3, 1], [1, 3]) == 1.25


def test_accuracy():
    assert value("accuracy", [1, 0, 1], [0.5, 0.4, 0.1]) == pytest.approx(2 / 3)
    assert value("accuracy", [2, 0], [[0.1, 0.2, 0.7], [0.3, 0.4, 0.3]]) == 0.5


def test_expected_levels_are_what_errors_of_ordinal_tasks_are_of():
    assert value("mae", [2, 0], [[0.1, 0.2, 0.7], [0.3, 0.4, 0.3]]) == pytest.approx((0.4 + 1.0) / 2)
    assert value("rmse", [2, 0], [[0.1, 0.2, 0.7], [0.3, 0.4, 0.3]]) == pytest.approx(math.sqrt((0.16 + 1.0) / 2))


def test_normalized_entropy():
    # logloss (log 2 + log 4) / 2 over the entropy of one half, log 2
    assert value("normalized_entropy", [1, 0], [0.5, 0.75]) == pytest.approx(1.5)
    weighted = (3 * math.log(2) + math.log(4)) / 4 / -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert value("normalized_entropy", [1, 0], [0.5, 0.75], [3, 1]) == pytest.approx(weighted)
    assert value("normalized_entropy", [1, 0, 0, 0], [0.25] * 4) == pytest.approx(1.0)
    assert math.isnan(value("normalized_entropy", [1, 1], [0.5, 0.75]))


def test_ece():
    # [0.2, 0.3): p .22, .28, one of two; [0.9, 1]: p 1 and .9, two of two
    labels, p = [0, 1, 1, 1], [0.22, 0.28, 1.0, 0.9]
    assert value("ece", labels, p) == pytest.approx((abs(0.5 - 1) + abs(1.9 - 2)) / 4)
    assert value("ece", labels, p, [1, 1, 0, 0]) == pytest.approx(0.25)
    assert value("ece", labels, p, bins=1) == pytest.approx(0.6 / 4)


@pytest.mark.parametrize("weighted", [False, True])
def test_decisions_equal_scikit_learn(weighted):
    r = np.random.default_rng(0)
    p, y = np.round(r.random(2000), 2).astype(np.float32), (r.random(2000) < 0.3).astype(int)
    w = r.random(2000).astype(np.float32) if weighted else None
    for threshold in (0.25, 0.5):
        chosen = p >= np.float32(threshold)
        for name, expected in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
            wanted = expected(y, chosen, sample_weight=None if w is None else w.astype(float))
            assert value(name, y, p, w, threshold=threshold) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_max_f1_equals_scikit_learn_over_all_thresholds(weighted):
    r = np.random.default_rng(0)
    p = np.round(r.random(3000), 2).astype(np.float32)
    y = (r.random(3000) < p * p).astype(int)
    w = r.random(3000).astype(np.float32) if weighted else None
    sample = None if w is None else w.astype(float)
    precision, recall, _ = precision_recall_curve(y, p, sample_weight=sample)
    expected = (2 * precision * recall / np.maximum(precision + recall, 1e-12)).max()
    assert value("max_f1", y, p, w) == pytest.approx(expected, abs=1e-12)


def test_decisions_of_nothing_are_not_defined():
    assert math.isnan(value("precision", [1, 0], [0.1, 0.2]))
    assert math.isnan(value("recall", [0, 0], [0.1, 0.9]))
    assert math.isnan(value("f1", [0, 0], [0.1, 0.2]))
    assert value("f1", [1, 0], [0.1, 0.2]) == 0.0
    assert math.isnan(value("max_f1", [0, 0], [0.1, 0.2]))
