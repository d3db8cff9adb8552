"""`scale`: a tensor times a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from easyrec.modules.blocks import LayerConfig, Takes
from easyrec.modules.blocks._block import Around, Block, Shape


class Config(LayerConfig):
    """Config of `scale`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "tensor"}

    type: Literal["scale"] = "scale"
    factor: float = 1.0
    """The number."""


class Scale(Block):
    """``factor * x``.

    Shape:
        input, output: (B, ...)
    """

    def __init__(self, config: Config, around: Around, input: Shape) -> None:
        super().__init__(config, around)
        self.shape = input

    def forward(self, input: Tensor) -> Tensor:
        """The output."""
        scaled: Tensor = self.config.factor * input
        return scaled
