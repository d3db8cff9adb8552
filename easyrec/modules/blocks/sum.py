"""`sum`: the sum of tensors, or of one along an axis."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from easyrec.modules.blocks._fold import Fold, FoldConfig


class Config(FoldConfig):
    """Config of `sum`."""

    type: Literal["sum"] = "sum"


class Sum(Fold):
    """``x_1 + ... + x_n``, element by element."""

    def fold(self, stacked: Tensor, axis: int, keeps: bool) -> Tensor:
        """The sum."""
        return stacked.sum(dim=axis, keepdim=keeps)
