"""`activation`: a function of every unit."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import ClassVar, Literal

from torch import Tensor

from easyrec.modules.activation import Activation, activation
from easyrec.modules.blocks import LayerConfig, Takes
from easyrec.modules.blocks._block import Around, Block, Shape


class Config(LayerConfig):
    """Config of `activation`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "tensor"}

    type: Literal["activation"] = "activation"
    activation: Activation = "relu"
    """Which one."""


class ActivationBlock(Block):
    """``f(x)``, element by element.

    Shape:
        input, output: (B, ...)
    """

    def __init__(self, config: Config, around: Around, input: Shape) -> None:
        super().__init__(config, around)
        self.layer = activation(config.activation, prod(input))
        self.shape = input

    def forward(self, input: Tensor) -> Tensor:
        """The output."""
        return self.layer(input.flatten(1)).view(input.shape)  # type: ignore[no-any-return]
