"""A program while it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from easyrec.export.calls import Call, Program, Value, numbers_in

WEIGHTS, CALLS = 1 << 20, 1 << 21
"""Numbers of the first weight and the first call while it is not known how many inputs there are."""


class Draft:
    """Calls that become a program.

    Attributes:
        inputs: Names of its inputs.
        weights: Its weights by name.
        calls: Its calls so far.
    """

    def __init__(self) -> None:
        self.inputs: list[str] = []
        self.weights: dict[str, Tensor] = {}
        self.calls: list[Call] = []
        self._weight_of: dict[int, int] = {}
        self._kept: list[Tensor] = []

    def emit(self, operator: str, *args: Any, **kwargs: Any) -> int:
        """A call of the new program; its value's number."""
        self.calls.append(Call(operator, tuple(self._argument(a) for a in args), kwargs))
        return CALLS + len(self.calls) - 1

    def _argument(self, argument: Any) -> Any:
        if isinstance(argument, list | tuple) and not isinstance(argument, Value):
            return [self._argument(a) for a in argument]
        return self.weight(argument) if isinstance(argument, Tensor) else argument

    def weight(self, tensor: Tensor) -> Value:
        """A weight of the new program."""
        if id(tensor) not in self._weight_of:
            self._kept.append(tensor)  # so that its id stays its own
            self._weight_of[id(tensor)] = len(self.weights)
            self.weights[f"w{len(self.weights)}"] = tensor
        return Value(WEIGHTS + self._weight_of[id(tensor)])

    def finished(self, outputs: Mapping[str, int]) -> Program:
        """The program without calls that nobody needs, its values numbered as programs number them."""
        needed: set[int] = {*outputs.values()}
        for place in range(len(self.calls) - 1, -1, -1):
            if CALLS + place in needed:
                needed.update(numbers_in(self.calls[place].args))
        inputs = [i for i in range(len(self.inputs)) if i in needed]
        weights = [i for i in range(len(self.weights)) if WEIGHTS + i in needed]
        calls = [i for i in range(len(self.calls)) if CALLS + i in needed]
        renamed = {
            old: new for new, old in enumerate([*inputs, *(WEIGHTS + i for i in weights), *(CALLS + i for i in calls)])
        }

        def told(argument: Any) -> Any:
            if isinstance(argument, Value):
                return Value(renamed[argument.number])
            return [told(a) for a in argument] if isinstance(argument, list | tuple) else argument

        names = list(self.weights)
        made = [
            Call(self.calls[i].operator, tuple(told(a) for a in self.calls[i].args), self.calls[i].kwargs)
            for i in calls
        ]
        return Program(
            [self.inputs[i] for i in inputs],
            {names[i]: self.weights[names[i]] for i in weights},
            made,
            {name: renamed[number] for name, number in outputs.items()},
        )
