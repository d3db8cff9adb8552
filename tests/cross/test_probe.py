"""The probe against scikit-learn, a search by hand, and sums over all pairs."""

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from easyrec.tune.cross.additive import Additive
from easyrec.tune.cross.codes import Codes, Line
from easyrec.tune.cross.probe import Rows, auc_gain, auc_of, fitted, gain_of

RANDOM = np.random.default_rng(3)


def drawn(number, effects, seed):
    """Rows over a logit that is known, whose labels follow a column of codes beside it."""
    random = np.random.default_rng(seed)
    codes = Codes(random.integers(1, len(effects) + 1, number).astype(np.int32), len(effects) + 1)
    logit = random.normal(-1.0, 1.0, number)
    chance = 1 / (1 + np.exp(-logit - np.concatenate([[0.0], effects])[codes.values]))
    return codes, Rows((random.random(number) < chance).astype(float), logit)


def test_weights_are_those_of_the_penalised_likelihood_code_by_code():
    effects = RANDOM.normal(0, 1.5, 12)
    codes, rows = drawn(2000, effects, 1)

    weights = fitted(codes, rows, 20)

    chance = 1 / (1 + np.exp(-rows.logit))
    gradient = np.array([(rows.labels - chance)[codes.values == k].sum() for k in range(1, 13)])
    curvature = np.array([(chance * (1 - chance))[codes.values == k].sum() for k in range(1, 13)])
    precision = (curvature**2).sum() / (gradient**2 - curvature).sum()
    grid = np.linspace(-8, 8, 6401)
    for code in range(1, 13):
        own = codes.values == code
        z, y = rows.logit[own][:, None], rows.labels[own][:, None]
        losses = (
            sum((np.logaddexp(0, z[i] + grid) - y[i] * (z[i] + grid)) for i in range(len(z))) + precision * grid**2 / 2
        )
        assert weights[code] == pytest.approx(grid[losses.argmin()], abs=4e-3)
    assert weights[0] == 0
    assert np.corrcoef(weights[1:], effects)[0, 1] > 0.98


def test_codes_that_say_nothing_gain_nothing_and_those_that_do_gain_on_rows_they_were_not_fitted_on():
    effects = RANDOM.normal(0, 0.7, 30)
    codes, rows = drawn(20_000, effects, 2)
    later, judge = drawn(20_000, effects, 3)
    noise = Codes(np.random.default_rng(4).integers(1, 3000, 20_000).astype(np.int32), 3000)

    useful = gain_of(later, fitted(codes, rows), judge, with_auc=True)
    useless = gain_of(noise, fitted(noise, rows), judge)

    assert useful.z > 10
    assert useful.auc > 5 * useful.auc_error > 0
    assert useless.value < 3 * max(useless.error, 1e-6)


def test_effects_that_are_large_are_reached_without_overshooting():
    codes = Codes(np.repeat([1, 2], 500).astype(np.int32), 3)
    rows = Rows(np.repeat([0.0, 1.0], 500), np.full(1000, -2.4))

    weights = fitted(codes, rows, 30)

    assert weights[1] < -1
    assert 4 < weights[2] < 20
    assert gain_of(codes, weights, rows).value > 0.3


def test_rows_of_several_codes_do_not_overshoot():
    random = np.random.default_rng(5)
    lists = random.integers(1, 6, (3000, 4)).astype(np.int32)
    effects = np.array([0, -1.0, 1.0, 0.5, 0.0, -0.5])
    labels = (random.random(3000) < 1 / (1 + np.exp(1 - effects[lists].sum(1)))).astype(float)
    codes = Codes(lists.reshape(-1), 6, np.arange(0, 12_001, 4))
    rows = Rows(labels, np.full(3000, -1.0))

    losses = [rows.losses(codes.sums(fitted(codes, rows, steps))).mean() for steps in (1, 3, 10, 40)]

    assert losses == sorted(losses, reverse=True)
    assert fitted(codes, rows, 40)[1:] == pytest.approx(effects[1:], abs=0.3)


def test_sample_weights_count_as_rows_that_are_there_several_times():
    codes, rows = drawn(500, RANDOM.normal(0, 2, 4), 6)
    times = np.random.default_rng(7).integers(1, 4, 500)
    whole = Rows(np.repeat(rows.labels, times), np.repeat(rows.logit, times))
    weighted = Rows(rows.labels, rows.logit, times.astype(float))
    many = codes.take(np.repeat(np.arange(500), times))
    weights = np.array([0.0, 0.3, -0.2, 0.1, 0.5])

    assert codes.moments(*weighted.slope())[0] == pytest.approx(many.moments(*whole.slope())[0])
    assert gain_of(codes, weights, weighted).value == pytest.approx(gain_of(many, weights, whole).value)


def test_aucs_and_their_difference_are_those_of_all_pairs():
    random = np.random.default_rng(8)
    labels = (random.random(300) < 0.3).astype(float)
    before = np.round(labels + random.normal(0, 1.5, 300), 1)  # with ties
    after = np.round(labels * 1.5 + random.normal(0, 1.5, 300), 1)

    gain, error = auc_gain(labels, before, after)

    assert auc_of(labels, before) == pytest.approx(roc_auc_score(labels, before))
    assert gain == pytest.approx(roc_auc_score(labels, after) - roc_auc_score(labels, before))
    positive, negative = labels > 0.5, labels < 0.5
    parts = []
    for scores in (before, after):
        wins = scores[positive][:, None] - scores[negative][None, :]
        parts.append((wins > 0) + 0.5 * (wins == 0))
    difference = parts[1] - parts[0]
    variance = difference.mean(1).var() / positive.sum() + difference.mean(0).var() / negative.sum()
    assert error == pytest.approx(math.sqrt(variance))


def test_one_label_has_no_auc():
    assert math.isnan(auc_of(np.ones(3), np.arange(3.0)))
    assert math.isnan(auc_gain(np.zeros(3), np.arange(3.0), np.arange(3.0))[0])


def test_fields_are_fitted_together_as_a_logistic_regression_does():
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(9)
    one = random.integers(0, 5, 6000)
    other = (one + random.integers(0, 2, 6000)) % 5  # correlated
    number = random.normal(0, 1, 6000)
    logit = np.array([0, 1, -1, 0.5, -0.5])[one] + np.array([1, -1, 0, 0.5, -0.5])[other] + 0.7 * number - 1
    labels = (random.random(6000) < 1 / (1 + np.exp(-logit))).astype(float)
    fields = {
        "one": Codes(one.astype(np.int32) + 1, 6),
        "other": Codes(other.astype(np.int32) + 1, 6),
        "number": Line(number),
    }

    model = Additive.of(labels, slice(0, 6000), None, fields)
    model.refit(20)

    columns = np.column_stack([np.eye(5)[one], np.eye(5)[other], number])
    reference = LogisticRegression(C=10, max_iter=500).fit(columns, labels)
    expected = reference.decision_function(columns)
    assert np.abs(model.logit - expected).mean() < 0.05
    parts = sum(model.fields[name].sums(weights) for name, weights in model.weights.items())
    assert (model.logit - parts).std() < 1e-9  # what is left is the intercept

    model.remove("other")
    assert set(model.fields) == {"one", "number"}
    parts = sum(model.fields[name].sums(weights) for name, weights in model.weights.items())
    assert (model.logit - parts).std() < 1e-9
