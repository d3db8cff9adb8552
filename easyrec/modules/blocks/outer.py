"""`outer`: the summed outer products of all pairs of fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from easyrec.modules.blocks import LayerConfig, Takes
from easyrec.modules.blocks._block import Around, Block, Shape
from easyrec.modules.pairs import OuterProducts


class Config(LayerConfig):
    """Config of `outer`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "fields"}

    type: Literal["outer"] = "outer"


class Outer(Block):
    """``s s'`` with ``s = sum_i e_i``, its upper half; see `easyrec.modules.pairs.OuterProducts`.

    Shape:
        input: (B, F, D)
        output: (B, D (D + 1) / 2)
    """

    def __init__(self, config: Config, around: Around, input: Shape) -> None:
        super().__init__(config, around)
        self.layer = OuterProducts(input[1])
        self.shape = (input[1] * (input[1] + 1) // 2,)

    def forward(self, input: Tensor) -> Tensor:
        """The products."""
        return self.layer(input)  # type: ignore[no-any-return]
