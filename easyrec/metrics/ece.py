"""`ece`: how far probabilities are from what happens, bin by bin."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field
from typing_extensions import Self

from easyrec.metrics._metric import Columns, Metric, MetricConfig


class Config(MetricConfig):
    """Config of `ece`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"binary"})
    better: ClassVar[Literal["higher", "lower"] | None] = "lower"

    type: Literal["ece"] = "ece"
    bins: int = Field(10, gt=0, le=100_000)
    """Intervals of equal width that the probabilities are divided into."""


class ECE(Metric):
    """``sum_b n_b / n |mean of p in b - mean of y in b|`` over intervals b of [0, 1]: the expected calibration error.

    Source:
        Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.sums = np.zeros((3, config.bins))  # weights, predictions, labels

    def update(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None, columns: Columns) -> None:
        """Add to the sums of each bin."""
        p = predictions.astype(np.float64)
        counted = np.ones(len(p)) if weights is None else weights.astype(np.float64)
        if np.isnan(p).any():
            self.sums[:] = np.nan
            return
        bins = np.minimum((p * self.config.bins).astype(np.int64), self.config.bins - 1)
        self.sums += [np.bincount(bins, v, self.config.bins) for v in (counted, counted * p, counted * labels)]

    def merge(self, other: Self) -> None:
        """Add the other's sums."""
        self.sums += other.sums

    def compute(self) -> float:
        """The weighted mean of the bins' differences."""
        weights, predicted, observed = self.sums
        return float(np.abs(predicted - observed).sum() / weights.sum()) if weights.sum() else float("nan")
