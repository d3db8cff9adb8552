"""`softmax`: weights that sum to 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor

from easyrec.modules.blocks import LayerConfig, Takes
from easyrec.modules.blocks._block import Around, Block, Shape


class Config(LayerConfig):
    """Config of `softmax`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "tensor"}

    type: Literal["softmax"] = "softmax"


class Softmax(Block):
    """``exp(x_i) / sum_j exp(x_j)`` over the last axis.

    Shape:
        input, output: (B, ...)
    """

    def __init__(self, config: Config, around: Around, input: Shape) -> None:
        super().__init__(config, around)
        self.shape = input

    def forward(self, input: Tensor) -> Tensor:
        """The output."""
        return torch.softmax(input, dim=-1)
