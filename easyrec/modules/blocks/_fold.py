"""What `sum`, `mean` and `max` share: over several tensors, or over an axis of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from easyrec.errors import ConfigError
from easyrec.modules.blocks import LayerConfig, Takes
from easyrec.modules.blocks._block import Around, Block, Shape, axis_of, equal


class FoldConfig(LayerConfig):
    """Keys of a fold."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "tensors"}

    axis: int | None = None
    """Axis of the one input to fold: 1 are its fields (of a vector its units), 2 or -1 their units. Omitted: the inputs
    are folded, element by element."""


class Fold(Block):
    """Base of folds, which define `fold`.

    Shape:
        input: (B, ...) each
        output: that of one input, without the axis; (B, 1) where only the rows would be left
    """

    def __init__(self, config: FoldConfig, around: Around, input: list[Shape]) -> None:
        super().__init__(config, around)
        self.axis: int | None = None
        if config.axis is None:
            self.shape = equal(input, "folds")
        elif len(input) > 1:
            raise ConfigError(f"folds an axis of one tensor, but is given {len(input)}\nleave out 'axis', or join them")
        else:
            self.axis = axis_of(config.axis, input[0])
            self.shape = (*input[0][: self.axis - 1], *input[0][self.axis :]) or (1,)
        self.keeps = config.axis is not None and len(input[0]) == 1

    def forward(self, input: list[Tensor]) -> Tensor:
        """The folded tensor."""
        if self.axis is not None:
            return self.fold(input[0], self.axis, self.keeps)
        return input[0] if len(input) == 1 else self.fold(torch.stack(input), 0, False)

    def fold(self, stacked: Tensor, axis: int, keeps: bool) -> Tensor:
        """The tensor without an axis."""
        raise TypeError(f"{type(self).__name__} must define fold")
