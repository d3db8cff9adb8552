"""`recall`: the share of the positive rows that are taken for positive."""

from __future__ import annotations

from typing import Literal

from easyrec.metrics._confusion import Confusion, ThresholdConfig, share


class Config(ThresholdConfig):
    """Config of `recall`."""

    type: Literal["recall"] = "recall"


class Recall(Confusion):
    """``TP / (TP + FN)`` of the decisions ``p >= threshold``; NaN where no row is positive."""

    def compute(self) -> float:
        """The quotient."""
        return share(self.right, self.right + self.missed)
