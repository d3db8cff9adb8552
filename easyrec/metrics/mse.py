"""`mse`: the mean squared error."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from easyrec.metrics._metric import Mean, MetricConfig, levels


class Config(MetricConfig):
    """Config of `mse`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"regression", "ordinal", "ziln"})
    better: ClassVar[Literal["higher", "lower"] | None] = "lower"

    type: Literal["mse"] = "mse"


class MSE(Mean):
    """``mean((prediction - label)^2)``."""

    def of_rows(self, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        """The squared error of each row."""
        return np.asarray((levels(predictions) - labels) ** 2)
