"""`ndcg`: how far up the places stand that answer a question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from easyrec.retrieval.metrics import ndcg
from rag.evaluation.case import Case
from rag.evaluation.metrics import RankedConfig, by_list


class Config(RankedConfig):
    """Config of `ndcg`."""

    type: Literal["ndcg"] = "ndcg"

    def values(self, cases: Sequence[Case], k: int) -> np.ndarray:
        """(n,), as `easyrec.retrieval.metrics.ndcg` has it."""
        return by_list(ndcg.NDCG, cases, ndcg.Config(k=k))
