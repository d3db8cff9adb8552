"""`concat`: tensors joined along an axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor

from easyrec.errors import ConfigError
from easyrec.modules.blocks import LayerConfig, Takes
from easyrec.modules.blocks._block import Around, Block, Shape, axis_of, told


class Config(LayerConfig):
    """Config of `concat`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "tensors"}

    type: Literal["concat"] = "concat"
    axis: int = 1
    """Axis to join along: 1 are units of vectors, and fields; 2 or -1 are units of fields."""


class Concat(Block):
    """``[x_1, ..., x_n]`` along an axis, 0 being the rows.

    Shape:
        input: (B, ...) each, equal but for the axis
        output: (B, ...)
    """

    def __init__(self, config: Config, around: Around, input: list[Shape]) -> None:
        super().__init__(config, around)
        axis = axis_of(config.axis, input[0]) - 1
        if (
            len({(*shape[:axis], *shape[axis + 1 :]) for shape in input}) > 1
            or len({len(shape) for shape in input}) > 1
        ):
            raise ConfigError(f"joins tensors that are equal but for axis {config.axis}, but is given {told(input)}")
        self.axis = axis + 1
        self.shape = (*input[0][:axis], sum(shape[axis] for shape in input), *input[0][axis + 1 :])

    def forward(self, input: list[Tensor]) -> Tensor:
        """The output."""
        return torch.cat(input, dim=self.axis)
