"""`flat`: embeddings, encoded sequences and dense inputs of a group, side by side."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse
from easyrec.modules.blocks import GroupBlockConfig
from easyrec.modules.blocks._block import Around, Block, Reader


class Config(GroupBlockConfig):
    """Config of `flat`."""

    type: Literal["flat"] = "flat"

    def use(self) -> tuple[str, GroupUse]:
        """Embeddings of any dims."""
        return self.group, GroupUse()


class Flat(Block):
    """All that the group has, of any dims.

    Shape:
        output: (B, W)
    """

    reads = True

    def __init__(self, config: Config, around: Around) -> None:
        super().__init__(config, around)
        self.shape = (around.model.width(config.group),)

    def forward(self, model: Reader, x: Embedded) -> Tensor:
        """The group, laid flat."""
        return model.flat(x, self.config.group)
