"""`coverage`: the share of the catalogue that is found for someone."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from typing_extensions import Self

from easyrec.retrieval.metrics import Found, RetrievalConfig, RetrievalMetric


class Config(RetrievalConfig):
    """Config of `coverage`."""

    type: Literal["coverage"] = "coverage"


class Coverage(RetrievalMetric):
    """Different items among the first k of all users, over the items of the catalogue."""

    def __init__(self, config: Any, items: int, counts: np.ndarray) -> None:
        super().__init__(config, items, counts)
        self.shown, self.users = np.zeros(items, bool), 0

    def update(self, found: Found) -> None:
        """Note what was shown."""
        shown = found.items[:, : self.config.k]
        self.shown[shown[shown >= 0]] = True
        self.users += len(shown)

    def merge(self, other: Self) -> None:
        """What either has shown."""
        self.shown, self.users = self.shown | other.shown, self.users + other.users

    def compute(self) -> float:
        """The share."""
        return float(self.shown.mean()) if self.users else float("nan")
