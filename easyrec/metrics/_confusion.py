"""Counts of right and wrong decisions at a threshold."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field
from typing_extensions import Self

from easyrec.metrics._metric import Columns, Metric, MetricConfig


class ThresholdConfig(MetricConfig):
    """What the config of a metric of decisions has."""

    task_types: ClassVar[frozenset[str]] = frozenset({"binary"})
    better: ClassVar[Literal["higher", "lower"] | None] = "higher"

    threshold: float = Field(0.5, ge=0.0, le=1.0)
    """Rows of at least this probability are taken for positive."""


class Confusion(Metric):
    """Base of metrics of true positives, false positives and false negatives, each a sum of weights."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.right, self.wrong, self.missed = 0.0, 0.0, 0.0

    def update(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None, columns: Columns) -> None:
        """Add the weights of the rows."""
        counted = np.ones(len(labels)) if weights is None else weights.astype(np.float64)
        chosen, positive = predictions >= np.float32(self.config.threshold), labels != 0
        self.right += float(counted[chosen & positive].sum())
        self.wrong += float(counted[chosen & ~positive].sum())
        self.missed += float(counted[~chosen & positive].sum())

    def merge(self, other: Self) -> None:
        """Add the other's sums."""
        self.right += other.right
        self.wrong += other.wrong
        self.missed += other.missed


def share(part: float, whole: float) -> float:
    """The quotient, NaN of nothing."""
    return part / whole if whole else float("nan")
