"""`ndcg`: how far up the places stand that answer a question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from rag.evaluation.case import Case
from rag.evaluation.metrics import RankedConfig


class Config(RankedConfig):
    """Config of `ndcg`.

    A chunk that holds several of a question's places counts once, so that nothing which is found makes up for a place that is
    not; each of these is taken to have a chunk of its own.

    Source:
        Jarvelin and Kekalainen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS 2002, with binary gains.
    """

    type: Literal["ndcg"] = "ndcg"

    def values(self, cases: Sequence[Case], k: int) -> np.ndarray:
        """(n,), ``sum 1 / log2(2 + r)`` over right chunks of rank r < k, over the greatest that it could be."""
        discounts = 1.0 / np.log2(2.0 + np.arange(k))
        found = []
        for case in cases:
            says = case.says()  # (hits, references)
            there = says.any(axis=0)
            ranks = np.unique(says.argmax(axis=0)[there]) if there.any() else np.zeros(0, np.int64)
            wanted = len(ranks) + int((~there).sum())
            found.append(discounts[ranks[ranks < k]].sum() / discounts[:wanted].sum())
        return np.array(found, np.float64)
