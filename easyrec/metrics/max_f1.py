"""`max_f1`: F1 at the threshold that suits it best, exact."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from easyrec.metrics._metric import Kept, MetricConfig
from easyrec.metrics._ranking import ordered_bits


class Config(MetricConfig):
    """Config of `max_f1`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"binary"})
    better: ClassVar[Literal["higher", "lower"] | None] = "higher"

    type: Literal["max_f1"] = "max_f1"


class MaxF1(Kept):
    """``max_t 2 TP(t) / (2 TP(t) + FP(t) + FN(t))`` over all thresholds t; NaN where no row is positive."""

    def label(self, labels: np.ndarray) -> np.ndarray:
        """One byte a row."""
        return np.asarray(labels != 0)

    def compute(self) -> float:
        """The largest F1."""
        rows = self.rows()
        if rows is None:
            return float("nan")
        labels, scores, weights = rows
        bits = ordered_bits(scores)
        order = np.argsort(bits)[::-1]
        weight = np.ones(len(labels)) if weights is None else weights[order].astype(np.float64)
        right, chosen = np.cumsum(weight * labels[order]), np.cumsum(weight)
        if not right[-1]:
            return float("nan")
        last = np.append(
            np.flatnonzero(np.diff(bits[order])), len(order) - 1
        )  # rows of equal score are chosen together
        return float((2.0 * right[last] / (chosen[last] + right[-1])).max())
