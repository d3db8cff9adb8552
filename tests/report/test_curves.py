import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from easyrec.report.curves import Curves


def sample(rows, seed=0):
    rng = np.random.default_rng(seed)
    probability = 1 / (1 + np.exp(-rng.normal(-2.0, 1.2, rows)))
    return (rng.random(rows) < probability).astype(np.float32), probability.astype(np.float32)


def test_the_area_under_the_roc_is_the_auc():
    labels, predictions = sample(20_000)
    curves = Curves()
    curves.update(labels, predictions)
    roc = curves.compute()["roc"]
    assert np.trapezoid(roc["tpr"], roc["fpr"]) == pytest.approx(roc_auc_score(labels, predictions), abs=1e-3)
    assert (roc["fpr"][0], roc["tpr"][0], roc["fpr"][-1], roc["tpr"][-1]) == (0, 0, 1, 1)
    assert len(roc["fpr"]) < 450


def test_weights_count_rows_as_often_as_they_say():
    labels, predictions = sample(500)
    weights = np.random.default_rng(1).integers(0, 4, 500)
    weighted, repeated = Curves(), Curves()
    weighted.update(labels, predictions, weights.astype(np.float32))
    repeated.update(np.repeat(labels, weights), np.repeat(predictions, weights))
    assert weighted.compute() == repeated.compute()


def test_merged_parts_are_the_whole():
    labels, predictions = sample(1000)
    whole, first, second = Curves(), Curves(), Curves()
    whole.update(labels, predictions)
    first.update(labels[:300], predictions[:300])
    second.update(labels[300:], predictions[300:])
    first.merge(second)
    assert first.compute() == whole.compute()


def test_calibrated_predictions_lie_on_the_diagonal_and_inflated_ones_below():
    labels, predictions = sample(200_000)
    honest, inflated = Curves(), Curves()
    honest.update(labels, predictions)
    inflated.update(labels, np.minimum(predictions * 2, 1.0))
    found = honest.compute()["reliability"]
    assert len(found["predicted"]) == 20
    np.testing.assert_allclose(found["observed"], found["predicted"], atol=0.01)
    assert sum(found["rows"]) == pytest.approx(200_000, rel=1e-4)
    found = inflated.compute()["reliability"]
    assert all(o < p for o, p in zip(found["observed"], found["predicted"], strict=True))


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_has_no_roc_but_a_histogram(label):
    curves = Curves()
    curves.update(np.full(5, label), np.linspace(0, 1, 5))
    result = curves.compute()
    assert result["roc"] == {"fpr": [], "tpr": []}
    assert sum(result["histogram"]["counts"]) == 5


def test_no_rows_give_empty_plots():
    result = Curves().compute()
    assert result["roc"] == {"fpr": [], "tpr": []}
    assert result["reliability"] == {"predicted": [], "observed": [], "rows": []}
    assert sum(result["histogram"]["counts"]) == 0
