"""`mrr`: how far down the first positive row of a list is."""

from __future__ import annotations

from typing import Literal

import numpy as np

from easyrec.metrics._lists import Lists, RelevanceConfig, RelevanceMetric


class Config(RelevanceConfig):
    """Config of `mrr`."""

    type: Literal["mrr"] = "mrr"


class MRR(RelevanceMetric):
    """``1 / r`` with r the rank of the list's first positive row, 0 where that is beyond k; mean over lists.

    Source:
        Voorhees, "The TREC-8 question answering track report", 1999.
    """

    def of_positives(self, lists: Lists, number: np.ndarray) -> np.ndarray:
        """(G,), the reciprocal ranks."""
        found = (lists.labels > 0) & self.inside(lists)
        values = np.zeros(len(lists.weight))
        np.maximum.at(values, lists.list[found], 1.0 / (lists.position[found] + 1.0))
        return values
