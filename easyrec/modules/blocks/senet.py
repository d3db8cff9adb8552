"""`senet`: fields weighted by what all fields together look like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from easyrec.modules.blocks import LayerConfig, Takes
from easyrec.modules.blocks._block import Around, Block, Shape
from easyrec.modules.squeeze import SqueezeExcitation


class Config(LayerConfig):
    """Config of `senet`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "fields"}

    type: Literal["senet"] = "senet"
    reduction: int = Field(3, gt=0)
    """Number of fields over the width of the layer that weighs them."""


class SENet(Block):
    """``a_i e_i``, see `easyrec.modules.squeeze.SqueezeExcitation`.

    Shape:
        input, output: (B, F, D)
    """

    def __init__(self, config: Config, around: Around, input: Shape) -> None:
        super().__init__(config, around)
        self.layer = SqueezeExcitation(input[0], config.reduction)
        self.shape = input

    def forward(self, input: Tensor) -> Tensor:
        """The weighted fields."""
        return self.layer(input)  # type: ignore[no-any-return]
