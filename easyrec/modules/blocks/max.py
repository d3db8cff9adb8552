"""`max`: the greatest of tensors, or of one along an axis."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from easyrec.modules.blocks._fold import Fold, FoldConfig


class Config(FoldConfig):
    """Config of `max`."""

    type: Literal["max"] = "max"


class Max(Fold):
    """``max(x_1, ..., x_n)``, element by element."""

    def fold(self, stacked: Tensor, axis: int, keeps: bool) -> Tensor:
        """The max."""
        return stacked.amax(dim=axis, keepdim=keeps)
