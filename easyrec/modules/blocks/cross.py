"""`cross`: the cross layers of DCN-V2."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from easyrec.modules.blocks import LayerConfig
from easyrec.modules.blocks._block import Around, Block, Shape
from easyrec.modules.cross import Cross, CrossConfig


class Config(CrossConfig, LayerConfig):
    """Config of `cross`."""

    type: Literal["cross"] = "cross"


class CrossBlock(Block):
    """See `easyrec.modules.cross.Cross`.

    Shape:
        input, output: (B, W)
    """

    def __init__(self, config: Config, around: Around, input: Shape) -> None:
        super().__init__(config, around)
        self.layer = Cross(input[0], config)
        self.shape = input

    def forward(self, input: Tensor) -> Tensor:
        """The output."""
        return self.layer(input)  # type: ignore[no-any-return]
