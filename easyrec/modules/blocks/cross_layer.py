"""`cross_layer`: one cross layer of DCN-V2, of the first vector with the present one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.errors import ConfigError
from easyrec.modules.blocks import LayerConfig, Takes
from easyrec.modules.blocks._block import Around, Block, Shape, told
from easyrec.modules.mlp import linear


class Config(LayerConfig):
    """Config of `cross_layer`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "tensors"}

    type: Literal["cross_layer"] = "cross_layer"
    low_rank: int | None = Field(None, gt=0)
    """Rank of the weights; omitted: full rank."""


class CrossLayer(Block):
    """``x_0 * (W x + b) + x`` with * element by element, for the inputs ``[x_0, x]``; see `easyrec.modules.cross`.

    Shape:
        input: (B, W) both
        output: (B, W)

    Source:
        Wang et al., "DCN V2", WWW 2021, eq. (1) and (2).
    """

    def __init__(self, config: Config, around: Around, input: list[Shape]) -> None:
        super().__init__(config, around)
        if len(input) != 2 or input[0] != input[1] or len(input[0]) != 1:
            raise ConfigError(f"takes two vectors of equal width, x_0 and x, but is given {told(input)}")
        (width,) = self.shape = input[0]
        if config.low_rank is None:
            self.layer: nn.Module = linear(width, width)
        else:
            down, up = linear(width, config.low_rank, bias=False), linear(config.low_rank, width)
            self.layer = nn.Sequential(down, up)

    def forward(self, input: list[Tensor]) -> Tensor:
        """The crossed vector."""
        first, x = input
        return torch.addcmul(x, first, self.layer(x).to(x.dtype))
