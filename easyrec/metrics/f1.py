"""`f1`: the harmonic mean of precision and recall."""

from __future__ import annotations

from typing import Literal

from easyrec.metrics._confusion import Confusion, ThresholdConfig, share


class Config(ThresholdConfig):
    """Config of `f1`."""

    type: Literal["f1"] = "f1"


class F1(Confusion):
    """``2 TP / (2 TP + FP + FN)`` of the decisions ``p >= threshold``; NaN where no row is positive or taken for it."""

    def compute(self) -> float:
        """The quotient."""
        return share(2.0 * self.right, 2.0 * self.right + self.wrong + self.missed)
