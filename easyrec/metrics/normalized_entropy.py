"""`normalized_entropy`: logloss, over that of always predicting the share of positives."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from typing_extensions import Self

from easyrec.metrics import logloss
from easyrec.metrics._metric import Columns, MetricConfig


class Config(MetricConfig):
    """Config of `normalized_entropy`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"binary"})
    better: ClassVar[Literal["higher", "lower"] | None] = "lower"

    type: Literal["normalized_entropy"] = "normalized_entropy"


class NormalizedEntropy(logloss.Logloss):
    """``logloss / -(y log y + (1 - y) log(1 - y))`` with y the share of positive rows; 1 is no better than knowing y.

    NaN where all labels are equal.

    Source:
        He et al., "Practical lessons from predicting clicks on ads at Facebook", ADKDD 2014, eq. (1).
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.positives = 0.0

    def update(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None, columns: Columns) -> None:
        """Add the rows' losses, labels and weights."""
        super().update(labels, predictions, weights, columns)
        counted = np.ones(len(labels)) if weights is None else weights.astype(np.float64)
        self.positives += float((labels != 0) @ counted)

    def merge(self, other: Self) -> None:
        """Add the other's sums."""
        super().merge(other)
        self.positives += other.positives

    def compute(self) -> float:
        """The quotient."""
        share = self.positives / self.weight if self.weight else 0.0
        if not 0.0 < share < 1.0:
            return float("nan")
        return float(super().compute() / -(share * np.log(share) + (1.0 - share) * np.log1p(-share)))
