"""`batch_norm`: normalisation of each unit over the batch."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import ClassVar, Literal

from torch import Tensor

from easyrec.modules.activation import BatchNorm
from easyrec.modules.blocks import LayerConfig, Takes
from easyrec.modules.blocks._block import Around, Block, Shape


class Config(LayerConfig):
    """Config of `batch_norm`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "tensor"}

    type: Literal["batch_norm"] = "batch_norm"


class BatchNormBlock(Block):
    """See `easyrec.modules.activation.BatchNorm`; of fields each unit of each field is normalised.

    Shape:
        input, output: (B, ...)
    """

    def __init__(self, config: Config, around: Around, input: Shape) -> None:
        super().__init__(config, around)
        self.layer = BatchNorm(prod(input))
        self.shape = input

    def forward(self, input: Tensor) -> Tensor:
        """The output."""
        return self.layer(input.flatten(1)).view(input.shape)  # type: ignore[no-any-return]
