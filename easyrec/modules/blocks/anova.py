"""`anova`: all products of exactly so many different fields, summed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from easyrec.modules.anova import Anova
from easyrec.modules.blocks import LayerConfig, Takes
from easyrec.modules.blocks._block import Around, Block, Shape


class Config(LayerConfig):
    """Config of `anova`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "fields"}

    type: Literal["anova"] = "anova"
    order: int = Field(3, ge=2)
    """Number of fields in a product."""


class AnovaBlock(Block):
    """See `easyrec.modules.anova.Anova`.

    Shape:
        input: (B, F, D)
        output: (B, 1)
    """

    def __init__(self, config: Config, around: Around, input: Shape) -> None:
        super().__init__(config, around)
        self.layer = Anova(config.order)
        self.shape = (1,)

    def forward(self, input: Tensor) -> Tensor:
        """The sum."""
        return self.layer(input)  # type: ignore[no-any-return]
