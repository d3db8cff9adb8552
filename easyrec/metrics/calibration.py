"""`calibration`: predicted over observed."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from typing_extensions import Self

from easyrec.metrics._metric import Columns, Metric, MetricConfig


class Config(MetricConfig):
    """Config of `calibration`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"binary", "regression", "ziln"})
    better: ClassVar[Literal["higher", "lower"] | None] = None

    type: Literal["calibration"] = "calibration"


class Calibration(Metric):
    """``sum of predictions / sum of labels``: 1 is calibrated, above 1 the model promises too much.

    NaN where the labels sum to 0.

    Source:
        He et al., "Practical lessons from predicting clicks on ads at Facebook", ADKDD 2014, section 2.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.predicted, self.observed = 0.0, 0.0

    def update(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None, columns: Columns) -> None:
        """Add both sums."""
        weight = np.ones(len(labels)) if weights is None else weights.astype(np.float64)
        self.predicted += float(predictions.astype(np.float64) @ weight)
        self.observed += float(labels.astype(np.float64) @ weight)

    def merge(self, other: Self) -> None:
        """Add the other's sums."""
        self.predicted += other.predicted
        self.observed += other.observed

    def compute(self) -> float:
        """Predicted over observed."""
        return self.predicted / self.observed if self.observed else float("nan")
