"""`logarithmic`: products of fields to learned powers, as in AFN."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from easyrec.modules.blocks import LayerConfig, Takes
from easyrec.modules.blocks._block import Around, Block, Shape
from easyrec.modules.logarithmic import LogarithmicLayer


class Config(LayerConfig):
    """Config of `logarithmic`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "fields"}

    type: Literal["logarithmic"] = "logarithmic"
    neurons: int = Field(gt=0)
    """Number of products."""


class Logarithmic(Block):
    """See `easyrec.modules.logarithmic.LogarithmicLayer`.

    Shape:
        input: (B, F, D)
        output: (B, D * neurons)
    """

    def __init__(self, config: Config, around: Around, input: Shape) -> None:
        super().__init__(config, around)
        self.layer = LogarithmicLayer(input[0], config.neurons)
        self.shape = (input[1] * config.neurons,)

    def forward(self, input: Tensor) -> Tensor:
        """The products."""
        return self.layer(input)  # type: ignore[no-any-return]
