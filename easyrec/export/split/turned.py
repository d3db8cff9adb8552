"""Layers over (candidates, steps, width) with the steps last: a row of them is long, where a width is short.

A program for requests computes its attention once per candidate and step. Written as torch does, a layer's bias, gate or
normalizer meets a value every few numbers anew; with the steps last, it is one number for a whole row of them. And the
product of a candidate with each step, times a matrix, is the matrix times the candidate, times the steps: the same sum,
without the products in between.

What cannot be computed so takes the value as it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from easyrec.export.calls import Call, Program, Value, numbers_in, result_of
from easyrec.export.split.rules import BINARY, UNARY

LINEAR = "aten.linear.default"
TURN = [0, 2, 1]


def turned(program: Program, example: Mapping[str, Tensor], num_steps: int) -> Program:
    """The same program, its layers over steps with the steps last.

    Args:
        program: One for requests.
        example: Inputs of it.
        num_steps: How many steps they have; no layer is as wide.
    """
    return _Turning(program, example, num_steps).run()


class _Turning:
    """A pass over the calls that writes new ones.

    Args:
        program: The old one.
        example: Inputs of it.
        num_steps: How many steps these have.
    """

    def __init__(self, program: Program, example: Mapping[str, Tensor], num_steps: int) -> None:
        self.program, self.num_steps = program, num_steps
        self.shapes: list[Any] = [*(example[name] for name in program.inputs), *program.weights.values()]
        self.first = len(self.shapes)  # call
        self.weights = dict(program.weights)
        self.calls: list[Call] = []
        self.plain: dict[int, Value] = {number: Value(number) for number in range(self.first)}
        self.last: dict[int, Value] = {}  # by old number, with the steps last

    def run(self) -> Program:
        """The new program."""
        for call in self.program.calls:
            number = len(self.shapes)
            with torch.inference_mode():
                self.shapes.append(result_of(call, self.shapes))
            found = self._turned(call, number)
            if found is not None:
                self.last[number] = found
            elif not self._summed(call, number):
                self.plain[number] = self._emit(call.operator, *(self._given(a) for a in call.args), **call.kwargs)
        if not self.last:
            return self.program
        outputs = {name: self._as_it_was(number).number for name, number in self.program.outputs.items()}
        return self._finished(outputs)

    # ---------------------------------------------------------------------------------------- with steps last

    def _turned(self, call: Call, number: int) -> Value | None:
        shape = self._shape(number)
        if len(shape) != 3 or shape[1] != self.num_steps:
            return None
        if call.operator == LINEAR:
            return self._linear(call)
        if call.operator in UNARY and self._number(call.args[0]) in self.last:
            return self._emit(call.operator, self.last[call.args[0].number], *call.args[1:], **call.kwargs)
        if call.operator in BINARY and any(self._number(a) in self.last for a in call.args[:2]):
            operands = [self._operand(a) for a in call.args[:2]]
            if all(operand is not None for operand in operands):
                return self._emit(call.operator, *operands, *call.args[2:], **call.kwargs)
        return None

    def _linear(self, call: Call) -> Value | None:
        value, weight, *bias = call.args
        if not self._is_weight(weight) or not all(b is None or self._is_weight(b) for b in bias):
            return None
        if value.number in self.last:
            made = self._emit("aten.matmul.default", weight, self.last[value.number])
        elif (factors := self._factors(value.number)) is not None:
            candidate, steps = factors
            each = self._emit("aten.mul.Tensor", self._as_it_was(candidate), weight)  # (B, H, K)
            made = self._emit("aten.matmul.default", each, self._steps_last(steps, [1, 0]))
        elif self._shape(value.number)[0] == 1:
            made = self._emit("aten.matmul.default", weight, self._steps_last(value.number, TURN))
        else:
            return None
        return self._emit("aten.add.Tensor", made, self._column(bias[0])) if bias and bias[0] is not None else made

    def _factors(self, number: int) -> tuple[int, int] | None:
        """The candidate (B, 1, K) and the steps (1, N, K) that a value is the product of."""
        call = self.program.calls[number - self.first] if number >= self.first else None
        if call is None or call.operator != "aten.mul.Tensor" or len(call.args) != 2:
            return None
        sides = [self._number(a) for a in call.args]
        if any(side < 0 or len(self._shape(side)) != 3 for side in sides):
            return None
        sides.sort(key=lambda side: self._shape(side)[1])
        (rows, one, width), (also_one, steps, also_width) = (self._shape(side) for side in sides)
        del rows
        if (one, also_one, steps) != (1, 1, self.num_steps) or width != also_width:
            return None
        return sides[0], sides[1]

    def _steps_last(self, number: int, order: list[int]) -> Value:
        """A value (1, N, K), with the steps last; with two dimensions where `order` has two."""
        given = self._as_it_was(number)
        if len(order) == 2:
            given = self._emit("aten.squeeze.dims", given, [0])
        return self._emit("aten.permute.default", given, order)

    def _operand(self, argument: Any) -> Any:
        """What meets a value with steps last; None: it cannot."""
        number = self._number(argument)
        if number < 0:
            return argument if isinstance(argument, int | float) else None
        if number in self.last:
            return self.last[number]
        shape = self._shape(number)
        if not shape:
            return self._as_it_was(number)
        if self._is_weight(argument) and len(shape) == 1:
            return self._column(argument)
        return self._emit("aten.permute.default", self._as_it_was(number), TURN) if len(shape) == 3 else None

    def _summed(self, call: Call, number: int) -> bool:
        """Whether a call ends the steps, or the width of 1 before them, so that its value is as it was."""
        given = self._number(call.args[0]) if call.args else -1
        if given not in self.last or len(call.args) < 2:
            return False
        dims = call.args[1] if isinstance(call.args[1], list) else []
        if call.operator == "aten.squeeze.dims" and dims in ([2], [-1]) and self._shape(given)[2] == 1:
            self.plain[number] = self._emit(call.operator, self.last[given], [1])
        elif call.operator == "aten.sum.dim_IntList" and dims in ([1], [-2]) and len(call.args) == 2:
            self.plain[number] = self._emit(call.operator, self.last[given], [2])
        else:
            return False
        return True

    # ------------------------------------------------------------------------------------------ the new calls

    def _emit(self, operator: str, *args: Any, **kwargs: Any) -> Value:
        self.calls.append(Call(operator, args, kwargs))
        return Value(self.first + len(self.calls) - 1)

    def _given(self, argument: Any) -> Any:
        if isinstance(argument, Value):
            return self._as_it_was(argument.number)
        return [self._given(a) for a in argument] if isinstance(argument, list) else argument

    def _as_it_was(self, number: int) -> Value:
        if number not in self.plain:
            back = self._emit("aten.permute.default", self.last[number], TURN)
            self.plain[number] = self._emit("aten.clone.default", back, memory_format=torch.contiguous_format)
        return self.plain[number]

    def _column(self, weight: Value) -> Value:
        """A weight (H,) as (H, 1)."""
        return self._emit("aten.unsqueeze.default", weight, 1)

    def _is_weight(self, argument: Any) -> bool:
        return len(self.program.inputs) <= self._number(argument) < self.first

    @staticmethod
    def _number(argument: Any) -> int:
        return argument.number if isinstance(argument, Value) else -1

    def _shape(self, number: int) -> Sequence[int]:
        value = self.shapes[number]
        return tuple(value.shape) if isinstance(value, Tensor) else ()

    def _finished(self, outputs: Mapping[str, int]) -> Program:
        """Without calls whose value nobody needs."""
        needed = set(outputs.values())
        for place in range(len(self.calls) - 1, -1, -1):
            if self.first + place in needed:
                needed.update(numbers_in(self.calls[place].args))
        kept = [place for place in range(len(self.calls)) if self.first + place in needed]
        renamed = {self.first + old: self.first + new for new, old in enumerate(kept)}

        def told(argument: Any) -> Any:
            if isinstance(argument, Value):
                return Value(renamed.get(argument.number, argument.number))
            return [told(a) for a in argument] if isinstance(argument, list | tuple) else argument

        calls = [Call(c.operator, tuple(told(a) for a in c.args), c.kwargs) for c in (self.calls[k] for k in kept)]
        named = {name: renamed.get(number, number) for name, number in outputs.items()}
        return Program(self.program.inputs, self.weights, calls, named)
