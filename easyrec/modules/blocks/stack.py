"""`stack`: equal tensors as the fields of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor

from easyrec.modules.blocks import LayerConfig, Takes
from easyrec.modules.blocks._block import Around, Block, Shape, equal


class Config(LayerConfig):
    """Config of `stack`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "tensors"}

    type: Literal["stack"] = "stack"


class Stack(Block):
    """x_1 .. x_n along a new first axis: vectors become fields.

    Shape:
        input: (B, W) each
        output: (B, n, W)
    """

    def __init__(self, config: Config, around: Around, input: list[Shape]) -> None:
        super().__init__(config, around)
        self.shape = (len(input), *equal(input, "stacks"))

    def forward(self, input: list[Tensor]) -> Tensor:
        """The output."""
        return torch.stack(input, dim=1)
