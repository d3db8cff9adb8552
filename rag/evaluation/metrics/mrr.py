"""`mrr`: one over the rank of the first place that answers a question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from easyrec.retrieval.metrics import mrr
from rag.evaluation.case import Case
from rag.evaluation.metrics import RankedConfig, by_list


class Config(RankedConfig):
    """Config of `mrr`."""

    type: Literal["mrr"] = "mrr"

    def values(self, cases: Sequence[Case], k: int) -> np.ndarray:
        """(n,), as `easyrec.retrieval.metrics.mrr` has it."""
        return by_list(mrr.MRR, cases, mrr.Config(k=k))
