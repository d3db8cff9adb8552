"""`difference`: one tensor minus another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from easyrec.errors import ConfigError
from easyrec.modules.blocks import LayerConfig, Takes
from easyrec.modules.blocks._block import Around, Block, Shape, equal, told


class Config(LayerConfig):
    """Config of `difference`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "tensors"}

    type: Literal["difference"] = "difference"


class Difference(Block):
    """``x_1 - x_2``.

    Shape:
        input: (B, ...) both
        output: (B, ...)
    """

    def __init__(self, config: Config, around: Around, input: list[Shape]) -> None:
        super().__init__(config, around)
        if len(input) != 2:
            raise ConfigError(f"takes two inputs, but is given {told(input)}")
        self.shape = equal(input, "subtracts")

    def forward(self, input: list[Tensor]) -> Tensor:
        """The output."""
        return input[0] - input[1]
