"""`ndcg`: the discounted gain of a list, over that of the best order."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from easyrec.errors import DataError
from easyrec.metrics._lists import ListMetric, Lists
from easyrec.metrics._metric import ListConfig

LARGEST = 60.0
"""Of labels with exponential gain: 2^60 beside 1 is all that float64 tells apart."""


class Config(ListConfig):
    """Config of `ndcg`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"binary", "regression", "ziln"})
    better: ClassVar[Literal["higher", "lower"] | None] = "higher"

    type: Literal["ndcg"] = "ndcg"
    gain: Literal["linear", "exponential"] = "linear"
    """What a row of label y is worth: y, or 2^y - 1; for labels 0 and 1 the same."""


class NDCG(ListMetric):
    """``DCG / ideal DCG`` with ``DCG = sum_i<=k g(y_i) / log2(i + 1)``; mean over the lists with a label above 0.

    Labels below 0 count as 0.

    Source:
        Jarvelin and Kekalainen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002; `exponential`: Burges et
        al., "Learning to rank using gradient descent", ICML 2005.
    """

    def of_lists(self, lists: Lists) -> tuple[np.ndarray, np.ndarray]:
        """(G,), the quotients, and where there is a gain."""
        gain = np.maximum(lists.labels, 0.0)
        if self.config.gain == "exponential":
            if gain.max(initial=0.0) > LARGEST:
                text = f"ndcg with 'gain: exponential' takes labels to {LARGEST:.0f}, but one is {gain.max():g}"
                raise DataError(f"{text}: take 'gain: linear', or labels that are grades")
            gain = np.exp2(gain) - 1.0
        discount = self.inside(lists) / np.log2(lists.position + 2.0)
        best = gain[np.lexsort((-gain, lists.list))]  # lists keep their places
        ideal = lists.sum(best * discount)
        return lists.sum(gain * discount) / np.where(ideal > 0, ideal, 1.0), ideal > 0
