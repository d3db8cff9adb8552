"""`precision_at`: the share of the first k rows of a list that are positive; reported as `precision@k`."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from easyrec.metrics._lists import Lists, RelevanceConfig, RelevanceMetric


class Config(RelevanceConfig):
    """Config of `precision_at`."""

    type: Literal["precision_at"] = "precision_at"
    k: int = Field(gt=0)
    """Rows of each list that count, the highest scores first."""


class PrecisionAt(RelevanceMetric):
    """Positive rows among the first k over k; mean over lists."""

    def of_positives(self, lists: Lists, number: np.ndarray) -> np.ndarray:
        """(G,), the shares."""
        found: np.ndarray = lists.sum(lists.labels * self.inside(lists)) / self.config.k
        return found
