"""`recall`: the share of the places that answer a question that was found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from easyrec.retrieval.metrics import recall
from rag.evaluation.case import Case
from rag.evaluation.metrics import RankedConfig, by_list


class Config(RankedConfig):
    """Config of `recall`."""

    type: Literal["recall"] = "recall"

    def values(self, cases: Sequence[Case], k: int) -> np.ndarray:
        """(n,), as `easyrec.retrieval.metrics.recall` has it."""
        return by_list(recall.Recall, cases, recall.Config(k=k))
