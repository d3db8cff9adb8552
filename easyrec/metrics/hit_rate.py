"""`hit_rate`: the share of lists with a positive row among the first k."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from easyrec.metrics._lists import Lists, RelevanceConfig, RelevanceMetric


class Config(RelevanceConfig):
    """Config of `hit_rate`."""

    type: Literal["hit_rate"] = "hit_rate"
    k: int = Field(gt=0)
    """Rows of each list that count, the highest scores first."""


class HitRate(RelevanceMetric):
    """1 where one of the first k rows is positive, else 0; mean over lists."""

    def of_positives(self, lists: Lists, number: np.ndarray) -> np.ndarray:
        """(G,), 1 or 0."""
        return (lists.sum(lists.labels * self.inside(lists)) > 0).astype(np.float64)
