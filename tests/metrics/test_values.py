"""One value of each simple metric, worked by hand or by scikit-learn."""

import math

import numpy as np
import pytest
from sklearn.metrics import log_loss

from easyrec.metrics import build
from feature_generator.config import member


def value(name, labels, predictions, weights=None):
    metric = build(member("easyrec.metrics", name).Config())
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
