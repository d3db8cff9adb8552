"""`precision`: the share of what was found that answers the question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from rag.evaluation.case import Case
from rag.evaluation.metrics import RankedConfig


class Config(RankedConfig):
    """Config of `precision`."""

    type: Literal["precision"] = "precision"

    def values(self, cases: Sequence[Case], k: int) -> np.ndarray:
        """(n,), chunks among the first k that say a reference, over all that were found among the first k."""
        right = [[bool(says.any()) for says in case.says()[:k]] for case in cases]
        return np.array([sum(one) / len(one) if one else 0.0 for one in right], np.float64)
