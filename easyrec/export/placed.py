"""A stored program for a device: its weights there, what it makes made there, its products in bf16 where that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch._ops import OpOverload

from easyrec.export.calls import REPEAT, Body, Call, Program, Value, numbers_in
from easyrec.export.operators import find

PRODUCTS = ("aten.linear.default", "aten.matmul.default", "aten.bmm.default")
"""What is computed in bf16 where that is asked for."""
_CAST = "aten._to_copy.default"
_DECIDED_BY_DATA = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)


def on_device(program: Program, device: torch.device) -> Program:
    """The same program over tensors of a device."""
    weights = {name: weight.to(device) for name, weight in program.weights.items()}
    return Program(program.inputs, weights, _made_on(program.calls, device), program.outputs)


def _made_on(calls: Sequence[Call], device: torch.device) -> list[Call]:
    """Calls that make tensors of nothing are told where; a stored program holds no devices."""
    placed = []
    for call in calls:
        args = [replace(a, calls=tuple(_made_on(a.calls, device))) if isinstance(a, Body) else a for a in call.args]
        told = {"device": device} if call.operator != REPEAT and _makes(find(call.operator)) else {}
        placed.append(Call(call.operator, tuple(args), {**call.kwargs, **told}))
    return placed


def _makes(function: Callable[..., Any]) -> bool:
    """Whether an operator takes a device, and no tensor that would tell one."""
    if not isinstance(function, OpOverload):
        return False
    arguments = function._schema.arguments
    return any(a.name == "device" for a in arguments) and not any("Tensor" in str(a.type) for a in arguments)


def in_bf16(program: Program) -> Program:
    """The program with its products in bf16, their sums and all else in fp32. Loops stay as they are."""
    first, inside = len(program.inputs), _only_in_products(program)
    weights = {
        name: weight.to(torch.bfloat16) if number in inside and weight.is_floating_point() else weight
        for number, (name, weight) in enumerate(program.weights.items(), first)
    }
    places: list[int] = list(range(first + len(weights)))  # of the values of the program, in the new one
    calls: list[Call] = []
    low = {number: number for number in range(first, len(places)) if number in inside}  # values in bf16

    def add(call: Call) -> int:
        calls.append(call)
        return first + len(weights) + len(calls) - 1

    def lowered(argument: Any) -> Any:
        if not isinstance(argument, Value):
            return argument
        if argument.number not in low:
            cast = Call(_CAST, (Value(places[argument.number]),), {"dtype": torch.bfloat16})
            low[argument.number] = add(cast)
        return Value(low[argument.number])

    for call in program.calls:
        if call.operator in PRODUCTS:
            product = add(Call(call.operator, tuple(lowered(a) for a in call.args), call.kwargs))
            places.append(add(Call(_CAST, (Value(product),), {"dtype": torch.float32})))
        else:
            places.append(add(Call(call.operator, tuple(_renumbered(a, places) for a in call.args), call.kwargs)))
    return Program(program.inputs, weights, calls, {name: places[n] for name, n in program.outputs.items()})


def _renumbered(argument: Any, places: Sequence[int]) -> Any:
    if isinstance(argument, Value):
        return Value(places[argument.number])
    return [_renumbered(a, places) for a in argument] if isinstance(argument, list) else argument


def _only_in_products(program: Program) -> set[int]:
    """Numbers of the values that nothing but products reads."""

    def read(calls: Sequence[Call]) -> set[int]:
        return {number for call in calls for number in numbers_in(call.args)}

    products = [call for call in program.calls if call.operator in PRODUCTS]
    others = read([call for call in program.calls if call.operator not in PRODUCTS])
    return read(products) - others - {*program.outputs.values()}


def uncapturable(program: Program) -> str:
    """Why a program cannot be captured in a graph, whose sizes are fixed before it runs; empty where it may be."""
    for call in _all(program.calls):
        if call.operator == REPEAT:
            return "it has a loop whose turns the data decide"
        function = find(call.operator)
        if isinstance(function, OpOverload) and any(tag in function.tags for tag in _DECIDED_BY_DATA):
            return f"the size of what '{call.operator}' gives is decided by the data"
    return ""


def _all(calls: Sequence[Call]) -> Iterator[Call]:
    for call in calls:
        yield call
        for argument in call.args:
            if isinstance(argument, Body):
                yield from _all(argument.calls)
