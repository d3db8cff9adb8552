"""`recurrence`: copies of a block in a chain, each of which also reads the first input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from easyrec.batch import Embedded
from easyrec.modules.blocks import Takes
from easyrec.modules.blocks._block import Around, Form, Reader, Shape, Value
from easyrec.modules.blocks._copies import Copies, TimesConfig


class Config(TimesConfig):
    """Config of `recurrence`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "tensors"}

    type: Literal["recurrence"] = "recurrence"
    output: Literal["last", "concat", "stack", "sum", "list"] = "last"
    """What becomes of the copies' outputs."""


class Recurrence(Copies):
    """``y_l = f_l(x, y_{l-1})`` for l = 1 .. times, where x is the input and y_0 = x.

    With `cross_layer` these are the cross layers of DCN-V2; with `shared` it is a recurrent layer.

    Shape:
        input: what the block reads, twice
        output: what it gives, as `output` says
    """

    def __init__(self, config: Config, around: Around, input: list[Shape]) -> None:
        super().__init__(config, around)
        forms: list[Form] = []
        given: list[Form] = list(input)
        for _ in range(config.times):
            forms.append(self.add(around, [*input, *given]))
            given = [forms[-1]]
        self.shape = self.form(forms)

    def forward(self, model: Reader, x: Embedded, input: list[Tensor]) -> Value:
        """The copies' outputs, as `output` says."""
        outputs: list[Value] = []
        given: list[Value] = list(input)
        for index in range(self.config.times):
            outputs.append(self.call(index, model, x, [*input, *given]))
            given = [outputs[-1]]
        return self.gathered(outputs)
