"""The contract of the family of metrics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from typing_extensions import Self

from easyrec.config.family import implementation
from feature_generator.config import StrictModel

Columns: TypeAlias = Mapping[str, Any]
"""Raw columns of some rows: Arrow arrays, or what Arrow makes an array of."""


class MetricConfig(StrictModel):
    """What every metric's config has; a metric's own `Config` derives from it.

    Attributes:
        task_types: Types of tasks that the metric is defined for.
        better: Which of two values is the better one; None where neither end is best, so that training cannot stop
            by this metric.
    """

    task_types: ClassVar[frozenset[str]]
    better: ClassVar[Literal["higher", "lower"] | None]

    type: str
    name: str | None = None
    """Key under which the value is reported; default: the type."""

    @property
    def key(self) -> str:
        """Key under which the value is reported."""
        return self.name or self.type

    @property
    def columns(self) -> tuple[str, ...]:
        """Raw columns that the metric reads."""
        return ()


class Metric(ABC):
    """A number about labels and predictions, gathered batch by batch."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def update(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None, columns: Columns) -> None:
        """Take in n rows.

        Args:
            labels: (n,) float32.
            predictions: (n,) float32 probabilities or values; (n, C) probabilities for multiclass tasks.
            weights: (n,) float32, not negative; None: all rows count once.
            columns: The columns that the config asks for, n rows each.
        """

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Take in all that `other` was fed."""

    @abstractmethod
    def compute(self) -> float:
        """The value over all rows so far; NaN where it is not defined, as for no rows."""


def build(config: MetricConfig) -> Metric:
    """A fresh metric of a config."""
    return implementation("easyrec.metrics", config.type, Metric)(config)  # type: ignore[type-abstract]


class Mean(Metric):
    """Base of metrics that are a weighted mean over rows."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.total, self.weight = 0.0, 0.0

    @abstractmethod
    def of_rows(self, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        """(n,) float64, the value of each row."""

    def update(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None, columns: Columns) -> None:
        """Add the rows' values and weights."""
        values = self.of_rows(labels, predictions)
        if weights is None:
            self.total += float(values.sum())
            self.weight += len(values)
        else:
            self.total += float(values @ weights.astype(np.float64))
            self.weight += float(weights.sum(dtype=np.float64))

    def merge(self, other: Self) -> None:
        """Add the other's sums."""
        self.total += other.total
        self.weight += other.weight

    def compute(self) -> float:
        """The mean."""
        return self.total / self.weight if self.weight else float("nan")
