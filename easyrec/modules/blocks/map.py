"""`map`: a copy of a block for each element of a list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from easyrec.batch import Embedded
from easyrec.modules.blocks import Takes
from easyrec.modules.blocks._block import Around, Reader, Shape, Value
from easyrec.modules.blocks._copies import Copies, CopiesConfig


class Config(CopiesConfig):
    """Config of `map`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "tensors"}

    type: Literal["map"] = "map"
    output: Literal["last", "concat", "stack", "sum", "list"] = "list"
    """What becomes of the copies' outputs."""


class Map(Copies):
    """``y_i = f_i(x_i)`` for the elements x_i of a list, the inputs, or the fields of one tensor.

    Shape:
        input: a list of tensors, or (B, F, D)
        output: what the block gives, as `output` says
    """

    def __init__(self, config: Config, around: Around, input: list[Shape]) -> None:
        super().__init__(config, around)
        self.of_fields = len(input) == 1 and len(input[0]) > 1
        shapes = [input[0][1:]] * input[0][0] if self.of_fields else input
        self.shape = self.form([self.add(around, [shape]) for shape in shapes])

    def forward(self, model: Reader, x: Embedded, input: list[Tensor]) -> Value:
        """The copies' outputs, as `output` says."""
        parts = input[0].unbind(1) if self.of_fields else input
        return self.gathered([self.call(index, model, x, [part]) for index, part in enumerate(parts)])
