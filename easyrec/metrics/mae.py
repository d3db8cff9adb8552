"""`mae`: the mean absolute error."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from easyrec.metrics._metric import Mean, MetricConfig, levels


class Config(MetricConfig):
    """Config of `mae`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"regression", "ordinal", "ziln"})
    better: ClassVar[Literal["higher", "lower"] | None] = "lower"

    type: Literal["mae"] = "mae"


class MAE(Mean):
    """``mean(|prediction - label|)``, in the unit of the label."""

    def of_rows(self, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        """The absolute error of each row."""
        return np.asarray(np.abs(levels(predictions) - labels))
