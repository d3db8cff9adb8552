"""`layer_norm`: normalisation over the units of each row, or of each field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor, nn

from easyrec.modules.blocks import LayerConfig, Takes
from easyrec.modules.blocks._block import Around, Block, Shape


class Config(LayerConfig):
    """Config of `layer_norm`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "tensor"}

    type: Literal["layer_norm"] = "layer_norm"


class LayerNorm(Block):
    """``(x - mean) / sqrt(var + eps) * w + b`` over the last axis.

    Shape:
        input, output: (B, ...)

    Source:
        Ba et al., "Layer Normalization", 2016, eq. (4).
    """

    def __init__(self, config: Config, around: Around, input: Shape) -> None:
        super().__init__(config, around)
        self.layer = nn.LayerNorm(input[-1])
        self.shape = input

    def forward(self, input: Tensor) -> Tensor:
        """The output."""
        return self.layer(input)  # type: ignore[no-any-return]
