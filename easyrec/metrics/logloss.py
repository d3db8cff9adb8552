"""`logloss`: the mean negative log-likelihood of the labels."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from easyrec.metrics._metric import Mean, MetricConfig

EPSILON = 1e-7
"""Probabilities are kept this far from 0 and 1, as in FuxiCTR, whose published figures we compare with."""


class Config(MetricConfig):
    """Config of `logloss`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"binary", "multiclass", "ordinal"})
    better: ClassVar[Literal["higher", "lower"] | None] = "lower"

    type: Literal["logloss"] = "logloss"


class Logloss(Mean):
    """``-mean(y log p + (1 - y) log(1 - p))``; for classes ``-mean(log p_y)``."""

    def of_rows(self, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        """The negative log-likelihood of each row."""
        p = np.clip(predictions.astype(np.float64), EPSILON, 1.0 - EPSILON)
        if p.ndim == 2:
            return np.asarray(-np.log(p[np.arange(len(p)), labels.astype(np.int64)]))
        return np.asarray(-np.log(np.where(labels != 0, p, 1.0 - p)))
