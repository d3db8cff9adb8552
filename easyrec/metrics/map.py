"""`map`: the precision at each positive row of a list, averaged."""

from __future__ import annotations

from typing import Literal

import numpy as np

from easyrec.metrics._lists import Lists, RelevanceConfig, RelevanceMetric


class Config(RelevanceConfig):
    """Config of `map`."""

    type: Literal["map"] = "map"


class MAP(RelevanceMetric):
    """``sum_i<=k P(i) y_i / min(k, R)``: P(i) is the share of positives among the first i, R their number; mean over lists.

    Source:
        Manning, Raghavan and Schuetze, "Introduction to information retrieval", 2008, eq. (8.8).
    """

    def of_positives(self, lists: Lists, number: np.ndarray) -> np.ndarray:
        """(G,), the average precisions."""
        upto = np.cumsum(lists.labels)
        before = upto - lists.labels
        start = np.flatnonzero(lists.position == 0)
        precision = (upto - before[start][lists.list]) / (lists.position + 1.0)
        most = np.minimum(number, self.config.k or np.inf)
        found: np.ndarray = lists.sum(precision * lists.labels * self.inside(lists)) / most
        return found
