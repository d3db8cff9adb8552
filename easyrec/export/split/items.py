"""A program for requests in two: what follows from a candidate alone, and the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from easyrec.embedding.sides import ITEM
from easyrec.export.calls import Body, Call, Program, Value, numbers_in, result_of

LAYER = "layer/"
"""Before the number of a value of the first part, as an input of the rest."""
PRODUCTS = ("aten.linear.default", "aten.matmul.default", "aten.mm.default")
FUSED = "aten.addmm.default"
"""A product to which something is added at once."""


@dataclass(frozen=True)
class ItemSplit:
    """A program for requests in two.

    Attributes:
        items: From inputs of candidates to `layer/<n>`, a row for each.
        rest: From those, the user's inputs, and what it still reads of candidates, to the program's outputs.
    """

    items: Program
    rest: Program


class _Draft:
    """Calls that are being written anew, with the numbers that values of the old program have in the new one."""

    def __init__(self, inputs: Sequence[str], weights: Mapping[str, Tensor]) -> None:
        self.inputs, self.weights = list(inputs), dict(weights)
        self.calls: list[Call] = []
        self.numbers: dict[int, int] = {}

    def emit(self, operator: str, args: Sequence[Any], kwargs: Mapping[str, Any], *, known: bool = False) -> int:
        """A call over old values; with `known` over new ones. Its new number."""
        new = list(args) if known else [_renumbered(argument, self.numbers) for argument in args]
        self.calls.append(Call(operator, tuple(new), dict(kwargs)))
        return len(self.inputs) + len(self.weights) + len(self.calls) - 1

    def program(self, outputs: Mapping[str, int]) -> Program:
        return Program(self.inputs, self.weights, self.calls, outputs)


def split_items(program: Program, example: Mapping[str, Tensor]) -> ItemSplit | None:
    """The two parts; None where the first one would multiply nothing, or gives something else than a row for each candidate.

    Args:
        program: A program for requests.
        example: Inputs of the candidates' side, of at least two of them.
    """
    program = _unfused(program)
    first = len(program.inputs) + len(program.weights)
    alone = _of_items(program)
    rows = {int(tensor.shape[0]) for name, tensor in example.items() if name.startswith(ITEM)}
    if len(rows) != 1 or not any(c.operator in PRODUCTS and first + i in alone for i, c in enumerate(program.calls)):
        return None
    values = _values(program, alone, example)
    while True:
        read = {n for i, call in enumerate(program.calls) if first + i not in alone for n in numbers_in(call.args)}
        handed = sorted((read | set(program.outputs.values())) & alone)
        # A number of rows, or a list of values, is made again where it is read.
        odd = {
            n
            for n in handed
            if not isinstance(values[n], Tensor) or not values[n].dim() or {values[n].shape[0]} != rows
        }
        if not odd:
            break
        alone -= odd
    if not any(c.operator in PRODUCTS and first + i in alone for i, c in enumerate(program.calls)):
        return None
    return ItemSplit(_first_part(program, alone, handed), _rest(program, alone, handed))


def _unfused(program: Program) -> Program:
    """The program with products of candidates apart from what of the user is added to them."""
    start = len(program.inputs) + len(program.weights)
    sides, draft = _sides(program), _Draft(program.inputs, program.weights)
    draft.numbers = {n: n for n in range(start)}
    for i, call in enumerate(program.calls):
        fused = call.operator == FUSED and not call.kwargs and len(call.args) == 3
        if (
            fused
            and sides[call.args[1].number] == {ITEM}
            and not sides[call.args[2].number]
            and sides[call.args[0].number]
        ):
            product = draft.emit("aten.matmul.default", call.args[1:], {})
            added = _renumbered(call.args[0], draft.numbers)
            number = draft.emit("aten.add.Tensor", [Value(product), added], {}, known=True)
        else:
            number = draft.emit(call.operator, call.args, call.kwargs)
        draft.numbers[start + i] = number
    return draft.program({name: draft.numbers[n] for name, n in program.outputs.items()})


def _sides(program: Program) -> list[set[str]]:
    """Of each value, from which sides of the inputs it follows."""
    sides = [{ITEM if name.startswith(ITEM) else "user"} for name in program.inputs]
    sides += [set() for _ in program.weights]
    for call in program.calls:
        sides.append(set().union(*(sides[n] for n in numbers_in(call.args))))
    return sides


def _of_items(program: Program) -> set[int]:
    """The numbers of calls that read candidates alone."""
    start = len(program.inputs) + len(program.weights)
    return {n for n, sides in enumerate(_sides(program)) if n >= start and sides == {ITEM}}


def _first_part(program: Program, alone: set[int], handed: Sequence[int]) -> Program:
    inputs = [name for name in program.inputs if name.startswith(ITEM)]
    draft = _Draft(inputs, program.weights)
    _place(draft, program, inputs)
    _copy(draft, program, lambda n, sides: n in alone or not sides)
    return draft.program({f"{LAYER}{k}": draft.numbers[n] for k, n in enumerate(handed)})


def _rest(program: Program, alone: set[int], handed: Sequence[int]) -> Program:
    start = len(program.inputs) + len(program.weights)
    calls = [call for i, call in enumerate(program.calls) if start + i not in alone]
    read = {n for call in calls for n in numbers_in(call.args)} | set(program.outputs.values())
    inputs = [name for n, name in enumerate(program.inputs) if not name.startswith(ITEM) or n in read]
    draft = _Draft([*inputs, *(f"{LAYER}{k}" for k in range(len(handed)))], program.weights)
    _place(draft, program, inputs)
    draft.numbers |= {n: len(inputs) + k for k, n in enumerate(handed)}
    _copy(draft, program, lambda n, sides: n not in alone)
    return draft.program({name: draft.numbers[n] for name, n in program.outputs.items()})


def _place(draft: _Draft, program: Program, inputs: Sequence[str]) -> None:
    draft.numbers |= {n: inputs.index(name) for n, name in enumerate(program.inputs) if name in inputs}
    draft.numbers |= {len(program.inputs) + k: len(draft.inputs) + k for k in range(len(program.weights))}


def _copy(draft: _Draft, program: Program, wanted: Any) -> None:
    start, sides = len(program.inputs) + len(program.weights), _sides(program)
    for i, call in enumerate(program.calls):
        if wanted(start + i, sides[start + i]):
            draft.numbers[start + i] = draft.emit(call.operator, call.args, call.kwargs)


def _values(program: Program, alone: set[int], example: Mapping[str, Tensor]) -> dict[int, Any]:
    """The values that follow from candidates alone, of the example."""
    values: list[Any] = [example.get(name) for name in program.inputs]
    values += program.weights.values()
    sides = _sides(program)
    with torch.inference_mode():
        for call in program.calls:
            n = len(values)
            values.append(result_of(call, values) if n in alone or not sides[n] else None)
    return {n: values[n] for n in alone}


def _renumbered(argument: Any, numbers: Mapping[int, int]) -> Any:
    if isinstance(argument, Value):
        return Value(numbers[argument.number])
    if isinstance(argument, Body):
        return argument
    return [_renumbered(a, numbers) for a in argument] if isinstance(argument, list | tuple) else argument
