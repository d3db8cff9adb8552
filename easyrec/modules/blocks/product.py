"""`product`: tensors multiplied element by element."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from easyrec.errors import ConfigError
from easyrec.modules.blocks import LayerConfig, Takes
from easyrec.modules.blocks._block import Around, Block, Shape, told


class Config(LayerConfig):
    """Config of `product`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "tensors"}

    type: Literal["product"] = "product"


class Product(Block):
    """``x_1 * ... * x_n``; an axis of size 1 stretches, so that a gate (B, 1) or (B, F, 1) scales all units.

    Shape:
        input: (B, ...) each, of equal rank
        output: (B, ...)
    """

    def __init__(self, config: Config, around: Around, input: list[Shape]) -> None:
        super().__init__(config, around)
        if len({len(shape) for shape in input}) > 1:
            raise ConfigError(f"multiplies tensors of one rank, but is given {told(input)}")
        shape = tuple(max(sizes) for sizes in zip(*input, strict=True))
        if any(size not in (1, whole) for one in input for size, whole in zip(one, shape, strict=True)):
            text = f"multiplies tensors of equal sizes, or of size 1, but is given {told(input)}"
            raise ConfigError(f"{text}\nbring them to one width first, e.g. by {{type: linear, units: 16}}")
        self.shape = shape

    def forward(self, input: list[Tensor]) -> Tensor:
        """The output."""
        result = input[0]
        for factor in input[1:]:
            result = result * factor
        return result
