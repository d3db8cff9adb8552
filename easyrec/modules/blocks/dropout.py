"""`dropout`: units zeroed while training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from easyrec.modules.blocks import LayerConfig, Takes
from easyrec.modules.blocks._block import Around, Block, Shape
from easyrec.modules.dropout import Dropout


class Config(LayerConfig):
    """Config of `dropout`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "tensor"}

    type: Literal["dropout"] = "dropout"
    rate: float = Field(0.1, ge=0.0, lt=1.0)
    """Probability of zeroing a unit."""


class DropoutBlock(Block):
    """See `easyrec.modules.dropout.Dropout`.

    Shape:
        input, output: (B, ...)
    """

    def __init__(self, config: Config, around: Around, input: Shape) -> None:
        super().__init__(config, around)
        self.layer = Dropout(config.rate)
        self.shape = input

    def forward(self, input: Tensor) -> Tensor:
        """The output."""
        return self.layer(input)  # type: ignore[no-any-return]
