"""`bilinear`: products of all pairs of fields with a matrix between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from easyrec.errors import ConfigError
from easyrec.modules.bilinear import Bilinear, Kind
from easyrec.modules.blocks import LayerConfig, Takes
from easyrec.modules.blocks._block import Around, Block, Shape, told


class Config(LayerConfig):
    """Config of `bilinear`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "fields"}

    type: Literal["bilinear"] = "bilinear"
    matrices: Kind = "all"
    """One matrix for all pairs, one for each left field, or one for each pair."""


class BilinearBlock(Block):
    """``(e_i W) * e_j`` of all pairs i < j, see `easyrec.modules.bilinear.Bilinear`.

    Shape:
        input: (B, F, D)
        output: (B, F (F - 1) / 2, D)
    """

    def __init__(self, config: Config, around: Around, input: Shape) -> None:
        super().__init__(config, around)
        if input[0] < 2:
            raise ConfigError(f"crosses pairs of fields, but is given {told(input)}")
        fields, dim = input
        self.layer = Bilinear(fields, dim, config.matrices)
        self.shape = (input[0] * (input[0] - 1) // 2, input[1])

    def forward(self, input: Tensor) -> Tensor:
        """The products."""
        return self.layer(input)  # type: ignore[no-any-return]
