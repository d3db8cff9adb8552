"""`transpose`: fields and units exchanged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from easyrec.modules.blocks import LayerConfig, Takes
from easyrec.modules.blocks._block import Around, Block, Shape


class Config(LayerConfig):
    """Config of `transpose`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "fields"}

    type: Literal["transpose"] = "transpose"


class Transpose(Block):
    """``x_ij`` becomes ``x_ji``.

    Shape:
        input: (B, F, D)
        output: (B, D, F)
    """

    def __init__(self, config: Config, around: Around, input: Shape) -> None:
        super().__init__(config, around)
        self.shape = (input[1], input[0])

    def forward(self, input: Tensor) -> Tensor:
        """The output."""
        return input.transpose(1, 2)
