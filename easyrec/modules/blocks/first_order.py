"""`first_order`: the linear part of a group, one weight per id and per numeric input."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse
from easyrec.modules.blocks import GroupBlockConfig
from easyrec.modules.blocks._block import Around, Block, Reader


class Config(GroupBlockConfig):
    """Config of `first_order`."""

    type: Literal["first_order"] = "first_order"

    def use(self) -> tuple[str, GroupUse]:
        """First-order weights."""
        return self.group, GroupUse(fields=False, first_order=True)


class FirstOrder(Block):
    """``sum_i w_i + sum_j v_j x_j`` over the weights w of the group's ids and its numeric inputs x.

    Shape:
        output: (B, 1)
    """

    reads = True

    def __init__(self, config: Config, around: Around) -> None:
        super().__init__(config, around)
        self.shape = (1,)

    def forward(self, model: Reader, x: Embedded) -> Tensor:
        """The sum."""
        return model.linear(x, self.config.group)
