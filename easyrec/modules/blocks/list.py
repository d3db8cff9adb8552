"""`list`: tensors as a list, of which a block such as `item` takes one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from easyrec.modules.blocks import LayerConfig, Takes
from easyrec.modules.blocks._block import Around, Block, Shape


class Config(LayerConfig):
    """Config of `list`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "tensors"}

    type: Literal["list"] = "list"


class List(Block):
    """The inputs as they are.

    Shape:
        input, output: (B, ...) each
    """

    def __init__(self, config: Config, around: Around, input: list[Shape]) -> None:
        super().__init__(config, around)
        self.shape = list(input)

    def forward(self, input: list[Tensor]) -> list[Tensor]:
        """The output."""
        return input
