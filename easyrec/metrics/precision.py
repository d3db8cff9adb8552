"""`precision`: the share of the rows taken for positive that are."""

from __future__ import annotations

from typing import Literal

from easyrec.metrics._confusion import Confusion, ThresholdConfig, share


class Config(ThresholdConfig):
    """Config of `precision`."""

    type: Literal["precision"] = "precision"


class Precision(Confusion):
    """``TP / (TP + FP)`` of the decisions ``p >= threshold``; NaN where no row is taken for positive."""

    def compute(self) -> float:
        """The quotient."""
        return share(self.right, self.right + self.wrong)
