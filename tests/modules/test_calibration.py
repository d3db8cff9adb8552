import json
import subprocess
import sys

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from easyrec.modules import calibration
from easyrec.modules.calibration import Isotonic, Platt


def drawn(n=4000, seed=0):
    """Probabilities that are too bold: true logit = 0.5 z - 1."""
    r = np.random.default_rng(seed)
    z = r.normal(0, 2, n)
    labels = (r.random(n) < 1 / (1 + np.exp(1 - 0.5 * z))).astype(np.float32)
    return (1 / (1 + np.exp(-z))).astype(np.float32), labels, r.random(n).astype(np.float32)


def logit(p):
    p = p.astype(np.float64)
    return np.log(p / (1 - p))


@pytest.mark.parametrize("weighted", [False, True])
def test_platt_equals_logistic_regression_on_the_logit(weighted):
    p, y, w = drawn()
    w = w if weighted else None
    fitted = Platt.fit(p, y, w)
    oracle = LogisticRegression(C=np.inf, tol=1e-10).fit(logit(p)[:, None], y, sample_weight=w)
    # Platt's smoothed targets move the fit by about 1 / n.
    assert fitted.slope == pytest.approx(oracle.coef_[0, 0], abs=5e-3)
    assert fitted.shift == pytest.approx(oracle.intercept_[0], abs=5e-3)


def test_platt_finds_the_true_map():
    p, y, _ = drawn(200_000)
    fitted = Platt.fit(p, y)
    assert (fitted.slope, fitted.shift) == (pytest.approx(0.5, abs=0.02), pytest.approx(-1.0, abs=0.02))


def by_scikit_learn(p, y, w=None):
    return IsotonicRegression(out_of_bounds="clip").fit(p.astype(np.float64), y, sample_weight=w)


@pytest.mark.parametrize("weighted", [False, True])
def test_isotonic_equals_scikit_learn_where_no_slope_is_steep(weighted):
    p, y, w = drawn()
    p = np.round(p, 1)  # 11 values, many rows each
    w = w if weighted else None
    oracle = by_scikit_learn(p, y, w)
    assert 0 < (np.diff(oracle.y_thresholds_) / np.diff(oracle.X_thresholds_)).max() < 4
    at = np.linspace(0, 1, 1001)
    np.testing.assert_allclose(Isotonic.fit(p, y, w)(at), oracle.predict(at), atol=1e-6)


@pytest.mark.parametrize("n", [4000, 200_000], ids=["few", "pooled"])
def test_isotonic_is_as_near_to_a_smooth_truth_as_scikit_learn(n):
    p, y, _ = drawn(n)
    fitted, oracle = Isotonic.fit(p, y), by_scikit_learn(p, y)
    fresh = drawn(50_000, seed=1)[0]
    fresh = fresh[fresh < 0.95]  # the true map has a slope of 2.5 there, and of more than 4 above 0.97
    ours, theirs = fitted(fresh).astype(np.float64), oracle.predict(fresh)
    assert np.abs(ours - theirs).mean() < 0.01 * (4000 / n) ** 0.3
    truth = 1 / (1 + np.exp(1 - 0.5 * logit(fresh)))
    assert np.sqrt(np.mean((ours - truth) ** 2)) < np.sqrt(np.mean((theirs - truth) ** 2))


def test_isotonic_finds_a_map_of_rare_clicks_that_is_steep_there():
    """A weak model says 0.9% to 1.1% where the truth is 0.2% to 3%: a slope of 14."""
    r = np.random.default_rng(3)
    n = 400_000
    p = r.uniform(0.009, 0.011, n).astype(np.float32)
    truth = 0.002 + (p - 0.009) * 14
    fitted = Isotonic.fit(p, (r.random(n) < truth).astype(np.float32))
    assert np.abs(fitted(p) - truth).mean() < 1e-3


STEPS = {
    "one-step": lambda p, r: p > 0.5,
    "a-step-at-rare-clicks": lambda p, r: p > 0.01,
    "stairs": lambda p, r: r.random(len(p)) < np.floor(p * 7) / 6,
    "noise": lambda p, r: r.random(len(p)) < p,
    "last-row-alone": lambda p, r: p == p.max(),
}


@pytest.mark.parametrize("n", [7, 300, 50_000])
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_no_slope_is_above_4_or_above_1_over_p(step, n):
    r = np.random.default_rng(n)
    p = (r.random(n) ** r.choice([1, 3, 8])).astype(np.float32)
    fitted = Isotonic.fit(p, step(p, r).astype(np.float32))
    slopes = np.diff(fitted.values) / np.diff(fitted.knots)
    assert (slopes >= 0).all()
    assert (slopes <= np.maximum(4.0, 1.0 / fitted.knots[1:]) * (1 + 1e-6)).all()


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_noise_of_float32_stays_noise(step):
    """The trainer's batches and a request's differ by about 1e-6 of p, and by 4 ulp at most."""
    r = np.random.default_rng(5)
    p = r.random(200_000).astype(np.float32) ** 2
    fitted = Isotonic.fit(p, step(p, r).astype(np.float32))
    p = np.concatenate([p, fitted.knots.astype(np.float32)])  # where the steps are, too
    noisy = np.clip(p + np.minimum(1e-6 * p, 2.4e-7) * r.choice([-1, 1], len(p)), 0, 1).astype(np.float32)
    assert np.abs(fitted(noisy).astype(np.float64) - fitted(p)).max() < 1.2e-6


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_json_restores_the_same_bits(method):
    p, y, _ = drawn()
    fitted = calibration.fit(method, p, y)
    restored = calibration.from_json(json.loads(json.dumps(fitted.to_json())))
    assert np.array_equal(restored(p), fitted(p))
    assert fitted(p).dtype == np.float32


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_calibrated_probabilities_keep_the_order_and_the_mean(method):
    p, y, _ = drawn()
    calibrated = calibration.fit(method, p, y)(p)
    assert (np.diff(calibrated[np.argsort(p)]) >= 0).all()
    assert calibrated.mean() == pytest.approx(y.mean(), abs=1e-3)


@pytest.mark.parametrize("method", ["platt", "isotonic"])
@pytest.mark.parametrize("labels", [[], [1], [0, 0, 0], [0, 0, 1, 1]], ids=["none", "one", "one-class", "separable"])
def test_degenerate_rows_give_finite_probabilities(method, labels):
    p = np.linspace(0.1, 0.9, len(labels), dtype=np.float32)
    result = calibration.fit(method, p, np.array(labels, np.float32))(np.array([0, 0.5, 1], np.float32))
    assert ((result >= 0) & (result <= 1)).all()


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_no_rows_change_nothing(method):
    nothing = np.zeros(0, np.float32)
    p = np.array([0.1, 0.5, 0.9], np.float32)
    np.testing.assert_allclose(calibration.fit(method, nothing, nothing)(p), p, rtol=1e-6)


@pytest.mark.parametrize(
    "data",
    [
        {"method": "beta"},
        {"method": "platt", "slope": 1.0},
        {"method": "platt", "slope": float("nan"), "shift": 0.0},
        {"method": "isotonic", "knots": [0.0, 1.0], "values": [0.0]},
        {"method": "isotonic", "knots": [0.5, 0.5], "values": [0.0, 1.0]},
        {"method": "isotonic", "knots": [0.0, 1.0], "values": [1.0, 0.0]},
        {"method": "isotonic", "knots": "0 1", "values": [1.0, 0.0]},
    ],
)
def test_damaged_data_are_refused(data):
    with pytest.raises((KeyError, TypeError, ValueError)):
        calibration.from_json(data)


def test_serving_needs_no_torch():
    code = "import sys, easyrec.modules.calibration; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
