"""`mean`: the mean of tensors, or of one along an axis."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from easyrec.modules.blocks._fold import Fold, FoldConfig


class Config(FoldConfig):
    """Config of `mean`."""

    type: Literal["mean"] = "mean"


class Mean(Fold):
    """``(x_1 + ... + x_n) / n``, element by element."""

    def fold(self, stacked: Tensor, axis: int, keeps: bool) -> Tensor:
        """The mean."""
        return stacked.mean(dim=axis, keepdim=keeps)
