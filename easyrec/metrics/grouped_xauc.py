"""`grouped_xauc`: `xauc` inside each group of rows, averaged."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from easyrec.metrics._metric import GroupConfig, Kept
from easyrec.metrics._ranking import concordance


class Config(GroupConfig):
    """Config of `grouped_xauc`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"regression", "ziln"})
    better: ClassVar[Literal["higher", "lower"] | None] = "higher"

    type: Literal["grouped_xauc"] = "grouped_xauc"
    weighting: Literal["plain", "samples", "pairs"] = "samples"
    """How groups are averaged: each once (`plain`), by their rows (`samples`), or by their pairs (`pairs`)."""


class GroupedXAUC(Kept):
    """``sum_g w_g XAUC_g / sum_g w_g`` over the groups with different labels."""

    def compute(self) -> float:
        """The weighted mean."""
        rows = self.rows()
        if rows is None:
            return float("nan")
        labels, scores, weights = rows
        groups = self.codes(self.config.by)
        ordered, pairs = concordance(scores, labels, weights, groups)
        some = pairs > 0
        if not some.any():
            return float("nan")
        share = {
            "plain": np.ones(len(pairs)),
            "samples": np.bincount(groups, weights, len(pairs)),
            "pairs": pairs,
        }[self.config.weighting]
        return float(np.average(ordered[some] / pairs[some], weights=share[some]))
