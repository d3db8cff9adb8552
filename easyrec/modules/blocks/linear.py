"""`linear`: `W x + b`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from easyrec.modules.blocks import LayerConfig
from easyrec.modules.blocks._block import Around, Block, Shape
from easyrec.modules.mlp import linear


class Config(LayerConfig):
    """Config of `linear`."""

    type: Literal["linear"] = "linear"
    units: int = Field(gt=0)
    """Width of the output."""
    bias: bool = True
    """Whether there is a b."""


class LinearBlock(Block):
    """``W x + b``.

    Shape:
        input: (B, W)
        output: (B, units)
    """

    def __init__(self, config: Config, around: Around, input: Shape) -> None:
        super().__init__(config, around)
        self.layer = linear(input[0], config.units, bias=config.bias)
        self.shape = (config.units,)

    def forward(self, input: Tensor) -> Tensor:
        """The output."""
        return self.layer(input)  # type: ignore[no-any-return]
