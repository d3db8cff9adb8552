"""`slice`: a part of a tensor along an axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from easyrec.errors import ConfigError
from easyrec.modules.blocks import LayerConfig, Takes
from easyrec.modules.blocks._block import Around, Block, Shape, axis_of, told


class Config(LayerConfig):
    """Config of `slice`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "tensor"}

    type: Literal["slice"] = "slice"
    axis: int = 1
    """Axis to cut: 1 are units of a vector, and fields; 2 or -1 are units of fields."""
    start: int = 0
    """First place, counted from 0; negative from the end."""
    stop: int | None = None
    """Place after the last one; omitted: the end."""
    step: int = Field(1, gt=0)
    """Take every so many-th place."""


class Slice(Block):
    """``x[start:stop:step]`` along an axis.

    Shape:
        input, output: (B, ...)
    """

    def __init__(self, config: Config, around: Around, input: Shape) -> None:
        super().__init__(config, around)
        axis = axis_of(config.axis, input) - 1
        places = range(input[axis])[slice(config.start, config.stop, config.step)]
        if not places:
            raise ConfigError(f"takes nothing: axis {config.axis} of {told(input)} has {input[axis]} places")
        self.part = (slice(None),) * (axis + 1) + (slice(places.start, places.stop, config.step),)
        self.shape = (*input[:axis], len(places), *input[axis + 1 :])

    def forward(self, input: Tensor) -> Tensor:
        """The output."""
        return input[self.part]
