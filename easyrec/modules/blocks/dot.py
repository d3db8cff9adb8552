"""`dot`: dot products of all pairs of fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from easyrec.errors import ConfigError
from easyrec.modules.blocks import LayerConfig, Takes
from easyrec.modules.blocks._block import Around, Block, Shape, told
from easyrec.modules.pairs import InnerProducts


class Config(LayerConfig):
    """Config of `dot`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "fields"}

    type: Literal["dot"] = "dot"


class Dot(Block):
    """``<e_i, e_j>`` of all pairs i < j, see `easyrec.modules.pairs.InnerProducts`.

    Shape:
        input: (B, F, D)
        output: (B, F (F - 1) / 2)
    """

    def __init__(self, config: Config, around: Around, input: Shape) -> None:
        super().__init__(config, around)
        if input[0] < 2:
            raise ConfigError(f"crosses pairs of fields, but is given {told(input)}")
        self.layer = InnerProducts(input[0])
        self.shape = (input[0] * (input[0] - 1) // 2,)

    def forward(self, input: Tensor) -> Tensor:
        """The dot products."""
        return self.layer(input)  # type: ignore[no-any-return]
