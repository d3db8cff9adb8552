"""`parallel`: copies of a block over one input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from easyrec.batch import Embedded
from easyrec.modules.blocks import Takes
from easyrec.modules.blocks._block import Around, Reader, Shape, Value
from easyrec.modules.blocks._copies import Copies, TimesConfig


class Config(TimesConfig):
    """Config of `parallel`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "tensors"}

    type: Literal["parallel"] = "parallel"
    output: Literal["last", "concat", "stack", "sum", "list"] = "list"
    """What becomes of the copies' outputs."""


class Parallel(Copies):
    """``y_l = f_l(x)`` for l = 1 .. times: experts, heads, mask blocks side by side.

    Shape:
        input: what the block reads
        output: what it gives, as `output` says
    """

    def __init__(self, config: Config, around: Around, input: list[Shape]) -> None:
        super().__init__(config, around)
        self.shape = self.form([self.add(around, list(input)) for _ in range(config.times)])

    def forward(self, model: Reader, x: Embedded, input: list[Tensor]) -> Value:
        """The copies' outputs, as `output` says."""
        return self.gathered([self.call(index, model, x, input) for index in range(self.config.times)])
