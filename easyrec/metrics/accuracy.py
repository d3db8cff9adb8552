"""`accuracy`: the share of rows whose most probable class is the label."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from easyrec.metrics._metric import Mean, MetricConfig


class Config(MetricConfig):
    """Config of `accuracy`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"binary", "multiclass", "ordinal"})
    better: ClassVar[Literal["higher", "lower"] | None] = "higher"

    type: Literal["accuracy"] = "accuracy"


class Accuracy(Mean):
    """``mean(argmax_c p_c == y)``; for binary tasks ``mean((p >= 0.5) == y)``."""

    def of_rows(self, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        """1 where the class is right, else 0."""
        chosen = predictions.argmax(axis=1) if predictions.ndim == 2 else predictions >= 0.5
        return np.asarray(chosen == labels, np.float64)
