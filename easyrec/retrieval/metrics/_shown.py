"""Means over all that is shown."""

from __future__ import annotations

from typing import Any

import numpy as np
from typing_extensions import Self

from easyrec.retrieval.metrics import Found, RetrievalMetric


class ShownMetric(RetrievalMetric):
    """A mean over the first k items of all users; a metric defines `of_items`."""

    def __init__(self, config: Any, items: int, counts: np.ndarray) -> None:
        super().__init__(config, items, counts)
        self.values, self.total, self.shown = self.of_items(), 0.0, 0

    def of_items(self) -> np.ndarray:
        """(N,), the value of each item."""
        raise TypeError(f"{type(self).__name__} must define of_items")

    def update(self, found: Found) -> None:
        """Add up the values of what is shown."""
        shown = found.items[:, : self.config.k]
        shown = shown[shown >= 0]
        self.total, self.shown = self.total + float(self.values[shown].sum()), self.shown + len(shown)

    def merge(self, other: Self) -> None:
        """Add the sums."""
        self.total, self.shown = self.total + other.total, self.shown + other.shown

    def compute(self) -> float:
        """The mean."""
        return self.total / self.shown if self.shown else float("nan")
