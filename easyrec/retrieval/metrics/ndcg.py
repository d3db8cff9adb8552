"""`ndcg`: how far up the wanted items stand."""

from __future__ import annotations

from typing import Literal

import numpy as np

from easyrec.retrieval.metrics import Found, ListMetric, RetrievalConfig


class Config(RetrievalConfig):
    """Config of `ndcg`."""

    type: Literal["ndcg"] = "ndcg"


class NDCG(ListMetric):
    """``sum 1 / log2(2 + r)`` over wanted items of rank r < k, over the greatest that it could be; mean over users.

    Source:
        Jarvelin and Kekalainen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS 2002, with binary gains.
    """

    def of_users(self, found: Found) -> np.ndarray:
        """(B,), the gains over the ideal ones."""
        gains = np.where(found.hits(self.config.k), 1.0 / np.log2(2.0 + np.maximum(found.ranks, 0)), 0.0)
        ideal = np.cumsum(1.0 / np.log2(2.0 + np.arange(self.config.k)))
        values: np.ndarray = found.sums(gains) / ideal[np.clip(found.wanted, 1, self.config.k) - 1]
        return values
