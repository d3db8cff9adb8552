"""`mrr`: one over the place of the first wanted item."""

from __future__ import annotations

from typing import Literal

import numpy as np

from easyrec.retrieval.metrics import Found, ListMetric, RetrievalConfig


class Config(RetrievalConfig):
    """Config of `mrr`."""

    type: Literal["mrr"] = "mrr"


class MRR(ListMetric):
    """``1 / (1 + r)`` of the wanted item with the lowest rank r, 0 where that is not below k; mean over users."""

    def of_users(self, found: Found) -> np.ndarray:
        """(B,), the reciprocals."""
        value = np.where(found.hits(self.config.k), 1.0 / (1.0 + np.maximum(found.ranks, 0)), 0.0)
        best = np.zeros(len(found.wanted))
        np.maximum.at(best, np.repeat(np.arange(len(best)), found.wanted), value)
        return best
