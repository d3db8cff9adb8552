"""`recall_at`: the share of the positive rows of a list that are among its first k; reported as `recall@k`."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from easyrec.metrics._lists import Lists, RelevanceConfig, RelevanceMetric


class Config(RelevanceConfig):
    """Config of `recall_at`."""

    type: Literal["recall_at"] = "recall_at"
    k: int = Field(gt=0)
    """Rows of each list that count, the highest scores first."""


class RecallAt(RelevanceMetric):
    """Positive rows among the first k over all positive rows; mean over lists."""

    def of_positives(self, lists: Lists, number: np.ndarray) -> np.ndarray:
        """(G,), the shares."""
        found: np.ndarray = lists.sum(lists.labels * self.inside(lists)) / number
        return found
