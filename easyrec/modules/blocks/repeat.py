"""`repeat`: copies of a block in a chain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from easyrec.batch import Embedded
from easyrec.modules.blocks import Takes
from easyrec.modules.blocks._block import Around, Form, Reader, Shape, Value
from easyrec.modules.blocks._copies import Copies, TimesConfig


class Config(TimesConfig):
    """Config of `repeat`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "tensors"}

    type: Literal["repeat"] = "repeat"
    output: Literal["last", "concat", "stack", "sum", "list"] = "last"
    """What becomes of the copies' outputs."""


class Repeat(Copies):
    """``y_l = f_l(y_{l-1})`` for l = 1 .. times, where y_0 is the input.

    Shape:
        input: what the block reads
        output: what it gives, as `output` says
    """

    def __init__(self, config: Config, around: Around, input: list[Shape]) -> None:
        super().__init__(config, around)
        forms: list[Form] = []
        given: list[Form] = list(input)
        for _ in range(config.times):
            forms.append(self.add(around, given))
            given = [forms[-1]]
        self.shape = self.form(forms)

    def forward(self, model: Reader, x: Embedded, input: list[Tensor]) -> Value:
        """The copies' outputs, as `output` says."""
        outputs: list[Value] = []
        given: list[Value] = list(input)
        for index in range(self.config.times):
            outputs.append(self.call(index, model, x, given))
            given = [outputs[-1]]
        return self.gathered(outputs)
