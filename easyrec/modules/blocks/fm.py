"""`fm`: sum of the dot products of all pairs of fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from easyrec.modules.blocks import LayerConfig, Takes
from easyrec.modules.blocks._block import Around, Block, Shape
from easyrec.modules.fm import FM


class Config(LayerConfig):
    """Config of `fm`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "fields"}

    type: Literal["fm"] = "fm"


class FMBlock(Block):
    """See `easyrec.modules.fm.FM`.

    Shape:
        input: (B, F, D)
        output: (B, 1)
    """

    def __init__(self, config: Config, around: Around, input: Shape) -> None:
        super().__init__(config, around)
        self.layer = FM()
        self.shape = (1,)

    def forward(self, input: Tensor) -> Tensor:
        """The output."""
        return self.layer(input)  # type: ignore[no-any-return]
