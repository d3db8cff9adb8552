"""`hit_rate`: the share of users for whom a wanted item is found."""

from __future__ import annotations

from typing import Literal

import numpy as np

from easyrec.retrieval.metrics import Found, ListMetric, RetrievalConfig


class Config(RetrievalConfig):
    """Config of `hit_rate`."""

    type: Literal["hit_rate"] = "hit_rate"


class HitRate(ListMetric):
    """Whether a wanted item is among the first k; mean over users."""

    def of_users(self, found: Found) -> np.ndarray:
        """(B,), 1 or 0."""
        return (found.sums(found.hits(self.config.k)) > 0).astype(np.float64)
