"""`item`: one element of a list, or one field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from easyrec.errors import ConfigError
from easyrec.modules.blocks import LayerConfig, Takes
from easyrec.modules.blocks._block import Around, Block, Shape, told


class Config(LayerConfig):
    """Config of `item`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "tensors"}

    type: Literal["item"] = "item"
    index: int = 0
    """Place of the element, counted from 0; negative from the end."""


class Item(Block):
    """One of the inputs: of the elements of a list, of several blocks, or of the fields of one tensor.

    Shape:
        input: a list of tensors, or (B, F, D)
        output: one of them, or (B, D)
    """

    def __init__(self, config: Config, around: Around, input: list[Shape]) -> None:
        super().__init__(config, around)
        self.of_fields = len(input) == 1 and len(input[0]) > 1
        number = input[0][0] if self.of_fields else len(input)
        if not -number <= config.index < number:
            raise ConfigError(f"has no element {config.index}: there are {number} in {told(input)}")
        self.index = config.index % number
        self.shape = input[0][1:] if self.of_fields else input[self.index]

    def forward(self, input: list[Tensor]) -> Tensor:
        """The output."""
        return input[0].select(1, self.index) if self.of_fields else input[self.index]
