import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from easyrec.metrics import build
from easyrec.metrics.auc import Config


def auc(labels, scores, weights=None):
    metric = build(Config())
    metric.update(np.array(labels, np.float32), np.array(scores, np.float32), weights, {})
    return metric.compute()


def test_worked_by_hand():
    # Pairs (positive, negative): .9>.4, .9>.8, .4=.4 half, .4<.8: 2.5 of 4.
    assert auc([1, 0, 1, 0], [0.9, 0.4, 0.4, 0.8]) == 2.5 / 4


@pytest.mark.parametrize("decimals", [1, 3, 7], ids=["many-ties", "some-ties", "few-ties"])
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_scikit_learn(decimals, weighted):
    r = np.random.default_rng(0)
    scores = np.round(r.normal(size=20_000), decimals).astype(np.float32)
    labels = (r.random(20_000) < 1 / (1 + np.exp(-scores))).astype(np.float32)
    weights = r.random(20_000).astype(np.float32) if weighted else None
    expected = roc_auc_score(labels, scores, sample_weight=None if weights is None else weights.astype(float))
    assert auc(labels, scores, weights) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_of_classes_is_each_against_the_rest(weighted):
    r = np.random.default_rng(0)
    scores = r.dirichlet([1, 2, 3, 1], 3000).astype(np.float32)
    labels = np.array([r.choice(4, p=p / p.sum()) for p in scores.astype(float)], np.float32)
    weights = r.random(3000).astype(np.float32) if weighted else None
    sample, p = None if weights is None else weights.astype(float), scores.astype(float)
    expected = roc_auc_score(
        labels, p / p.sum(axis=1, keepdims=True), multi_class="ovr", average="macro", sample_weight=sample
    )
    assert auc(labels, scores, weights) == pytest.approx(expected, abs=1e-6)


def test_a_class_that_no_row_has_does_not_count():
    scores = [[0.7, 0.2, 0.1], [0.4, 0.5, 0.1], [0.6, 0.1, 0.3]]
    assert auc([0, 1, 0], scores) == 1.0
    assert np.isnan(auc([1, 1, 1], scores))


def test_negative_zero_ties_with_zero():
    assert auc([1, 0], [0.0, -0.0]) == auc([1, 0], [-0.0, 0.0]) == 0.5


@pytest.mark.parametrize("scores", [[-np.inf, np.inf], [-1e38, 1e-45]], ids=["infinite", "extreme"])
def test_any_finite_or_infinite_score_has_its_place(scores):
    assert auc([0, 1], scores) == 1.0


@pytest.mark.parametrize(
    ("labels", "scores"), [([1, 1], [0.1, 0.2]), ([0], [0.1]), ([0, 1], [0.1, np.nan])], ids=["pos", "neg", "nan"]
)
def test_undefined_is_nan(labels, scores):
    assert np.isnan(auc(labels, scores))


def test_what_the_caller_does_with_its_arrays_later_does_not_matter():
    metric, scores = build(Config()), np.array([0.2, 0.8], np.float32)
    metric.update(np.array([0, 1], np.float32), scores, None, {})
    scores[:] = 0
    assert metric.compute() == 1.0
