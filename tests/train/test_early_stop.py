import math

from easyrec.train.early_stop import EarlyStop


def test_stops_after_patience_evaluations_without_a_better_one():
    stop = EarlyStop("auc", higher_is_better=True, patience=2)
    assert [stop.update(v, i) for i, v in enumerate([0.6, 0.7, 0.7, 0.65])] == [True, True, False, False]
    assert stop.exhausted
    assert (stop.best, stop.best_step) == (0.7, 1)


def test_a_better_value_starts_the_count_anew():
    stop = EarlyStop("auc", higher_is_better=True, patience=2)
    for step, value in enumerate([0.6, 0.5, 0.7, 0.5]):
        stop.update(value, step)
    assert not stop.exhausted


def test_lower_is_better_for_a_loss():
    stop = EarlyStop("logloss", higher_is_better=False, patience=1)
    assert [stop.update(v, i) for i, v in enumerate([0.5, 0.4, 0.45])] == [True, True, False]


def test_a_gain_must_exceed_min_delta():
    stop = EarlyStop("auc", higher_is_better=True, patience=1, min_delta=0.01)
    stop.update(0.7, 0)
    assert not stop.update(0.705, 1)


def test_nan_is_never_the_best():
    stop = EarlyStop("auc", higher_is_better=True, patience=3)
    assert not stop.update(math.nan, 0)
    assert stop.update(0.1, 1)
    assert not stop.update(math.nan, 2)


def test_without_patience_it_never_stops():
    stop = EarlyStop("auc", higher_is_better=True, patience=None)
    for step in range(100):
        stop.update(-step, step)
    assert not stop.exhausted


def test_continues_from_its_state():
    first = EarlyStop("auc", higher_is_better=True, patience=2)
    first.update(0.7, 10)
    first.update(0.6, 20)
    second = EarlyStop("auc", higher_is_better=True, patience=2)
    second.load_state(first.state())
    second.update(0.65, 30)
    assert second.exhausted
    assert second.best_step == 10


def test_the_best_of_another_metric_is_forgotten():
    first = EarlyStop("auc", higher_is_better=True, patience=2)
    first.update(0.7, 10)
    second = EarlyStop("logloss", higher_is_better=False, patience=2)
    second.load_state(first.state())
    assert second.best is None
