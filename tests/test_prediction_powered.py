"""A mean by few labels and many predictions."""

import numpy as np
import pytest

from easyrec.prediction_powered import powered_mean


def drawn(random, n, m, noise, shift=0.0):
    """Labels and a machine that is off by a shift and some noise."""
    truth = random.normal(0.6, 0.3, n + m)
    machine = 0.7 * truth + shift + random.normal(0, noise, n + m)
    return truth[:n], machine[:n], machine[n:]


def test_its_intervals_hold_the_truth_and_are_narrower_than_those_of_labels_alone():
    random = np.random.default_rng(2)
    held, width, alone = [], [], []
    for _ in range(400):
        found = powered_mean(*drawn(random, 60, 600, 0.1, shift=0.5))
        held.append(found.mean.low <= 0.6 <= found.mean.high)
        width.append(found.mean.high - found.mean.low)
        alone.append(found.alone.high - found.alone.low)
    assert 0.92 <= np.mean(held) <= 0.98
    assert np.mean(width) < 0.65 * np.mean(alone)


def test_a_machine_that_tells_nothing_is_hardly_used():
    random = np.random.default_rng(3)
    labels = random.random(200)
    found = powered_mean(labels, random.random(200), random.random(2000))
    assert found.weight < 0.2
    assert found.mean.high - found.mean.low < 1.02 * (found.alone.high - found.alone.low)
    assert found.alone.mean == pytest.approx(labels.mean())


def test_a_perfect_machine_tells_the_mean_of_all():
    random = np.random.default_rng(4)
    truth = random.random(1000)
    found = powered_mean(truth[:100], truth[:100], truth[100:])
    assert found.weight == pytest.approx(0.9, abs=0.1)
    assert found.mean.mean == pytest.approx(truth.mean(), abs=0.01)
    assert found.saved == pytest.approx(10.0, rel=0.25)
    assert found.machine == pytest.approx(truth.mean())


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_labels_are_no_error(count):
    found = powered_mean(np.ones(count), np.ones(count), np.array([0.2, 0.4]))
    assert found.mean.count == count
    assert (found.mean.mean == 1.0) == (count > 0)


def test_without_others_the_labels_stand_alone():
    found = powered_mean(np.array([0.1, 0.5, 0.9]), np.array([0.0, 0.5, 1.0]), np.zeros(0))
    assert found.mean == found.alone
