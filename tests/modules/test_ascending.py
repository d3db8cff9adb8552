import numpy as np
import pytest
from scipy.optimize import lsq_linear
from sklearn.isotonic import IsotonicRegression

from easyrec.modules.ascending import corners, fit_ascending


def oracle(mean, mass, steps):
    """The same problem in its first value and its rises, which are bounded one by one."""
    root = np.sqrt(mass)
    matrix = np.tril(np.ones((len(mean), len(mean)))) * root[:, None]
    low, high = np.r_[-np.inf, np.zeros(len(steps))], np.r_[np.inf, np.maximum(steps, 1e-12)]
    solved = lsq_linear(matrix, root * mean, (low, high), method="bvls", tol=1e-14, max_iter=10_000)
    return np.cumsum(solved.x)


@pytest.mark.parametrize("seed", range(30))
def test_equals_bounded_least_squares(seed):
    r = np.random.default_rng(seed)
    n = int(r.integers(1, 40))
    mean, mass = r.random(n), r.uniform(0.01, 5, n)
    if seed % 2:
        mean = (mean > 0.5).astype(float)  # labels
    steps = r.exponential(r.choice([0.003, 0.03, 0.3]), max(0, n - 1))
    np.testing.assert_allclose(fit_ascending(mean, mass, steps), oracle(mean, mass, steps), atol=1e-7)


@pytest.mark.parametrize("steps", [np.inf, 1e6], ids=["infinite", "large"])
def test_without_a_bound_it_is_isotonic_regression(steps):
    r = np.random.default_rng(0)
    mean, mass = r.random(500) + np.linspace(0, 1, 500), r.uniform(0.1, 2, 500)
    expected = IsotonicRegression().fit_transform(np.arange(500), mean, sample_weight=mass)
    np.testing.assert_allclose(fit_ascending(mean, mass, np.full(499, steps)), expected, atol=1e-8)


def test_by_hand():
    """Values 0 and 1 that may differ by 0.4 meet around their mean; equal ones do where the order is wrong."""
    np.testing.assert_allclose(fit_ascending(np.array([0.0, 1.0]), np.ones(2), np.array([0.4])), [0.3, 0.7])
    np.testing.assert_allclose(fit_ascending(np.array([0.0, 1.0]), np.array([3.0, 1.0]), np.array([0.4])), [0.15, 0.55])
    np.testing.assert_allclose(fit_ascending(np.array([1.0, 0.0]), np.array([3.0, 1.0]), np.array([0.4])), [0.75] * 2)
    np.testing.assert_allclose(fit_ascending(np.array([0.2]), np.ones(1), np.zeros(0)), [0.2])
    np.testing.assert_allclose(fit_ascending(np.array([0.0, 1.0]), np.ones(2), np.zeros(1)), [0.5, 0.5])


def test_the_weighted_mean_is_kept_and_values_stay_inside():
    r = np.random.default_rng(1)
    mean, mass = r.random(3000).round(), r.lognormal(0, 3, 3000)
    fitted = fit_ascending(mean, mass, r.exponential(1e-3, 2999))
    assert np.average(fitted, weights=mass) == pytest.approx(np.average(mean, weights=mass), rel=1e-9)
    assert (np.diff(fitted) >= 0).all()
    assert fitted[0] >= 0
    assert fitted[-1] <= 1


def test_masses_of_any_size_do_no_harm():
    mass = np.array([1e9, 1e-12, 1e9, 1e-300, 1.0, 1e-12])
    fitted = fit_ascending(np.array([0.0, 1, 0.5, 0, 1, 0]), mass, np.full(5, 0.3))
    assert np.isfinite(fitted).all()
    assert (np.diff(fitted) >= 0).all()
    assert (np.diff(fitted) <= 0.3 + 1e-12).all()
    assert fitted[0] == pytest.approx(0.0, abs=0.2)


def test_corners_are_enough_to_draw_the_fit():
    r = np.random.default_rng(2)
    x = np.sort(r.random(5000))
    mean = (r.random(5000) < 1 / (1 + np.exp(-40 * (x - 0.5)))).astype(float)
    steps = 4.0 * np.diff(x)
    fitted = fit_ascending(mean, np.ones(5000), steps)
    kept = corners(fitted, steps, np.full(4999, 4.0))
    assert len(kept) < 300
    np.testing.assert_allclose(np.interp(x, x[kept], fitted[kept]), fitted, atol=1e-9)
