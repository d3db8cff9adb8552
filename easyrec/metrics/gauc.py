"""`gauc`: AUC inside each group of rows, averaged."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from easyrec.metrics._metric import GroupConfig, Kept
from easyrec.metrics._ranking import areas


class Config(GroupConfig):
    """Config of `gauc`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"binary"})
    better: ClassVar[Literal["higher", "lower"] | None] = "higher"

    type: Literal["gauc"] = "gauc"
    weighting: Literal["plain", "samples", "positives"] = "samples"
    """How groups are averaged: each once (`plain`), by their rows (`samples`), or by their positive rows
    (`positives`); with sample weights, by the sums of those."""


class GAUC(Kept):
    """``sum_g w_g AUC_g / sum_g w_g`` over the groups that hold both classes.

    Rows whose group is null form a group of their own. NaN where no group holds both classes or a score is NaN.

    Source:
        Zhou et al., "Deep Interest Network", KDD 2018, eq. (7), which weights by impressions.
    """

    def label(self, labels: np.ndarray) -> np.ndarray:
        """One byte a row."""
        return np.asarray(labels != 0)

    def compute(self) -> float:
        """The weighted mean of the groups' areas."""
        rows = self.rows()
        if rows is None:
            return float("nan")
        labels, scores, weights = rows
        pairs, positives, negatives = areas(scores, labels, weights, self.codes(self.config.by))
        both = (positives > 0) & (negatives > 0)
        if not both.any():
            return float("nan")
        area = pairs[both] / (positives[both] * negatives[both])
        share = {
            "plain": np.ones(len(area)),
            "samples": positives[both] + negatives[both],
            "positives": positives[both],
        }[self.config.weighting]
        return float(np.average(area, weights=share))
