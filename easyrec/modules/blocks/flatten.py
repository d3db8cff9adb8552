"""`flatten`: a tensor as a vector."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from easyrec.modules.blocks import LayerConfig
from easyrec.modules.blocks._block import Around, Block, Shape


class Config(LayerConfig):
    """Config of `flatten`."""

    type: Literal["flatten"] = "flatten"


class Flatten(Block):
    """All inputs laid flat, side by side; what every block that reads a vector does by itself.

    Shape:
        input: (B, ...)
        output: (B, W)
    """

    def __init__(self, config: Config, around: Around, input: Shape) -> None:
        super().__init__(config, around)
        self.shape = input

    def forward(self, input: Tensor) -> Tensor:
        """The output."""
        return input
