"""`hit_rate`: whether one of the places that answer a question was found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from easyrec.retrieval.metrics import hit_rate
from rag.evaluation.case import Case
from rag.evaluation.metrics import RankedConfig, by_list


class Config(RankedConfig):
    """Config of `hit_rate`."""

    type: Literal["hit_rate"] = "hit_rate"

    def values(self, cases: Sequence[Case], k: int) -> np.ndarray:
        """(n,), as `easyrec.retrieval.metrics.hit_rate` has it."""
        return by_list(hit_rate.HitRate, cases, hit_rate.Config(k=k))
