"""`pairs`: products of all pairs of fields, element by element."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from easyrec.errors import ConfigError
from easyrec.modules.blocks import LayerConfig, Takes
from easyrec.modules.blocks._block import Around, Block, Shape, told
from easyrec.modules.pairs import Products


class Config(LayerConfig):
    """Config of `pairs`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "fields"}

    type: Literal["pairs"] = "pairs"


class Pairs(Block):
    """``e_i * e_j`` of all pairs i < j, see `easyrec.modules.pairs.Products`.

    Shape:
        input: (B, F, D)
        output: (B, F (F - 1) / 2, D)
    """

    def __init__(self, config: Config, around: Around, input: Shape) -> None:
        super().__init__(config, around)
        if input[0] < 2:
            raise ConfigError(f"crosses pairs of fields, but is given {told(input)}")
        self.layer = Products(input[0])
        self.shape = (input[0] * (input[0] - 1) // 2, input[1])

    def forward(self, input: Tensor) -> Tensor:
        """The products."""
        return self.layer(input)  # type: ignore[no-any-return]
