"""Strengths out of comparisons, beside a search for the likeliest ones."""

import numpy as np
import pytest
from scipy.optimize import minimize

from easyrec.preferences import bradley_terry, strengths


def likeliest(wins):
    """By a general search."""
    k = len(wins)

    def loss(b):
        apart = b[:, None] - b[None, :]
        return float((wins * np.log1p(np.exp(-apart))).sum() + b.mean() ** 2)

    return minimize(loss, np.zeros(k), tol=1e-12).x


def test_strengths_are_the_likeliest_ones():
    wins = np.array([[0, 12, 20.5], [8, 0, 15], [3.5, 5, 0]])
    found = bradley_terry(wins, prior=0.0)
    np.testing.assert_allclose(found, likeliest(wins), atol=1e-4)
    assert found.mean() == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(bradley_terry(wins), likeliest(wins + 0.5 * (1 - np.eye(3))), atol=1e-4)


def test_who_never_won_is_not_infinitely_weak():
    found = bradley_terry(np.array([[0.0, 50.0], [0.0, 0.0]]))
    assert np.isfinite(found).all()
    assert found[0] > found[1] + 2


def test_of_two_it_is_the_log_of_the_odds():
    found = bradley_terry(np.array([[0.0, 30.0], [10.0, 0.0]]), prior=0.0)
    assert found[0] - found[1] == pytest.approx(np.log(3.0))


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    truth, random, held = np.array([0.6, 0.0, -0.6]), np.random.default_rng(1), []
    chance = 1 / (1 + np.exp(truth[None, :] - truth[:, None]))
    for _ in range(60):
        verdicts = np.zeros((120, 3, 3))
        for i, j in ((0, 1), (0, 2), (1, 2)):
            won = random.random(120) < chance[i, j]
            verdicts[:, i, j], verdicts[:, j, i] = won, ~won
        held += [
            one.low <= true <= one.high for one, true in zip(strengths(verdicts, resamples=200), truth, strict=True)
        ]
    assert 0.88 <= np.mean(held) <= 0.99


def test_of_nothing_all_are_alike():
    assert [one.mean for one in strengths(np.zeros((0, 2, 2)))] == [0.0, 0.0]
