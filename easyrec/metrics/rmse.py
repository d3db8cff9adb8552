"""`rmse`: the root of the mean squared error."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np

from easyrec.metrics._metric import Mean, MetricConfig, levels


class Config(MetricConfig):
    """Config of `rmse`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"regression", "ordinal", "ziln"})
    better: ClassVar[Literal["higher", "lower"] | None] = "lower"

    type: Literal["rmse"] = "rmse"


class RMSE(Mean):
    """``sqrt(mean((prediction - label)^2))``, in the unit of the label."""

    def of_rows(self, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        """The squared error of each row."""
        return np.asarray((levels(predictions) - labels) ** 2)

    def compute(self) -> float:
        """The root of the mean."""
        return math.sqrt(super().compute())
