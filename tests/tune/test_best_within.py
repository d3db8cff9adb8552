"""Which student of a search is taken."""

import pytest

pytest.importorskip("optuna", reason="needs the extra 'tune'")

from easyrec.tune.distill import best_within
from easyrec.tune.row import Row


def row(number, auc, ms):
    return Row(number, "complete", {}, {"auc": auc, "latency_ms": ms})


def test_the_best_that_costs_no_more_than_it_may():
    rows = [row(0, 0.9, 5.0), row(1, 0.8, 2.0), row(2, 0.7, 1.0)]
    assert best_within(rows, "auc", {"latency_ms": 2.0}, higher=True).number == 1
    assert best_within(rows, "auc", {"latency_ms": 9.0}, higher=True).number == 0
    assert best_within(rows, "auc", {"latency_ms": 9.0}, higher=False).number == 2
    assert best_within(rows, "auc", {"latency_ms": 0.5}, higher=True) is None
