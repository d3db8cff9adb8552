"""`stop_gradient`: a tensor through which nothing is learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from easyrec.modules.blocks import LayerConfig, Takes
from easyrec.modules.blocks._block import Around, Block, Shape


class Config(LayerConfig):
    """Config of `stop_gradient`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "tensor"}

    type: Literal["stop_gradient"] = "stop_gradient"


class StopGradient(Block):
    """x, whose gradient ends here.

    Shape:
        input, output: (B, ...)
    """

    def __init__(self, config: Config, around: Around, input: Shape) -> None:
        super().__init__(config, around)
        self.shape = input

    def forward(self, input: Tensor) -> Tensor:
        """The output."""
        return input.detach()
