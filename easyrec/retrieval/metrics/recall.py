"""`recall`: the share of a user's wanted items that is found."""

from __future__ import annotations

from typing import Literal

import numpy as np

from easyrec.retrieval.metrics import Found, ListMetric, RetrievalConfig


class Config(RetrievalConfig):
    """Config of `recall`."""

    type: Literal["recall"] = "recall"


class Recall(ListMetric):
    """Wanted items among the first k over all wanted ones; mean over users."""

    def of_users(self, found: Found) -> np.ndarray:
        """(B,), the shares."""
        shares: np.ndarray = found.sums(found.hits(self.config.k)) / np.maximum(found.wanted, 1)
        return shares
