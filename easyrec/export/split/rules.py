"""What is known of operators: how to call them where both sides meet, so that these stay apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from easyrec.export.calls import Call, Value
from easyrec.export.split.values import (
    SIDED,
    Beside,
    Const,
    Filled,
    Full,
    Known,
    Mixed,
    RowsOf,
    Size,
    Steps,
    User,
)
from easyrec.export.split.writer import Pass, Rule, flattened

_ONE: tuple[str, ...] = (
    "relu",
    "sigmoid",
    "tanh",
    "exp",
    "log",
    "neg",
    "square",
    "abs",
    "sqrt",
    "rsqrt",
    "reciprocal",
    "leaky_relu",
    "elu",
)
_ONE += ("gelu", "silu", "clamp", "clone", "hardtanh", "softplus", "sin", "cos", "log1p", "expm1", "sign")
_TWO = ("add", "sub", "mul", "div", "eq", "gt", "lt", "ge", "le", "ne", "bitwise_and", "bitwise_or")
_SCALAR = ("add", "mul", "gt", "lt", "ge", "le", "eq", "ne")
UNARY = frozenset({*(f"aten.{name}.default" for name in _ONE), "aten.pow.Tensor_Scalar", "aten._to_copy.default"})
BINARY = frozenset(
    {
        *(f"aten.{name}.Tensor" for name in _TWO),
        *(f"aten.{name}.Scalar" for name in _SCALAR),
        "aten.maximum.default",
        "aten.minimum.default",
    }
)
LARGEST = 1 << 62
RULES: dict[str, Rule] = {}


def _rule(*names: str) -> Callable[[Rule], Rule]:
    def taken(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, rule))
        return rule

    return taken


def _both(p: Pass, call: Call, value: Mixed, *rest: Any) -> Mixed:
    """The same call over the columns of each side."""
    user, full = (p.emit(call.operator, Value(n), *rest, **call.kwargs) for n in (value.user, value.full))
    return Mixed(user, full, value.order)


@_rule("aten.sym_size.int")
def _size(p: Pass, call: Call, args: Any) -> Known:
    value, dim = args
    shape = p.shapes[call.args[0].number].shape
    if dim % len(shape):
        return Const(int(shape[dim])) if not isinstance(value, User | Full) else None
    match value:
        case Full(number) if shape[0] != p.num_rows:
            return Full(p.emit("aten.sym_size.int", Value(number), 0))
        case Mixed(full=number) | Full(number):
            return Size(1, Value(p.emit("aten.sym_size.int", Value(number), 0)))
        case User(number, None, True):
            return Size(1, Value(p.rows()))
    return None


@_rule("aten.full.default")
def _fill(p: Pass, call: Call, args: Any) -> Known:
    sizes, number = args[:2]
    if not any(isinstance(s, Size) for s in sizes) or isinstance(number, SIDED):
        return None
    return Filled(number, tuple(sizes), dict(call.kwargs))


@_rule("getitem")
def _item(p: Pass, call: Call, args: Any) -> Known:
    return args[0][args[1]] if isinstance(args[0], tuple) else None


@_rule("aten.full_like.default")
def _fill_like(p: Pass, call: Call, args: Any) -> Known:
    value, number = args[:2]
    if not isinstance(value, Filled) or isinstance(number, SIDED):
        return None
    return Filled(number, value.sizes, value.options)


@_rule("aten.expand.default")
def _expand(p: Pass, call: Call, args: Any) -> Known:
    value, sizes = args[:2]
    if not isinstance(value, RowsOf) or any(isinstance(size, SIDED) for size in sizes):
        return None
    return replace(value, shaped=(*value.shaped, (call.operator, sizes)))


@_rule("aten.alias.default")
def _alias(p: Pass, call: Call, args: Any) -> Known:
    return args[0]


@_rule(*UNARY)
def _unary(p: Pass, call: Call, args: Any) -> Known:
    value, *rest = args
    if any(isinstance(r, SIDED) for r in flattened(rest)):
        return None
    rest = [p.plain(r, user=True) for r in rest]
    match value:
        case Mixed():
            return _both(p, call, value, *rest)
        case Steps():
            return replace(value, number=p.emit(call.operator, Value(value.number), *rest, **call.kwargs), factors=None)
    return None


@_rule(*BINARY)
def _binary(p: Pass, call: Call, args: Any) -> Known:
    a, b = args[:2]
    if isinstance(a, Steps | Beside) or isinstance(b, Steps | Beside):
        return _binary_of_steps(p, call, a, b)
    if isinstance(a, Mixed) or isinstance(b, Mixed):
        return _binary_of_columns(p, call, a, b)
    rows = (Full, User, Const)
    if isinstance(a, rows) and isinstance(b, rows) and any(isinstance(v, Full) for v in (a, b)):
        if any(isinstance(v, User) and (v.steps is not None or not v.rows) for v in (a, b)):
            return None
        ranks = [
            p.shapes[x.number].dim() if isinstance(x, Value) and isinstance(p.shapes[x.number], Tensor) else 0
            for x in call.args[:2]
        ]
        users = [i for i, v in enumerate((a, b)) if isinstance(v, User)]
        if users and ranks[users[0]] != max(ranks):
            return None  # broadcasting would take rows for something else
        given = [Value(v.number) if isinstance(v, Full | User) else v.value for v in (a, b)]
        return Full(p.emit(call.operator, *given, **call.kwargs))
    return None


def _binary_of_columns(p: Pass, call: Call, a: Known, b: Known) -> Known:
    mixed = a if isinstance(a, Mixed) else b
    rank = p.shapes[len(p.values)].dim()
    sides: list[list[Any]] = []
    for value, place in zip((a, b), call.args[:2], strict=True):
        if isinstance(value, Mixed):
            if value.order != mixed.order:
                return None
            sides.append([Value(value.user), Value(value.full)])
            continue
        inner = value.value if isinstance(value, Const) else value
        if isinstance(inner, bool | int | float) or (isinstance(inner, Tensor) and inner.dim() == 0):
            sides.append([inner, inner])
            continue
        if not isinstance(inner, Tensor) or inner.dim() > rank or (inner.dim() == rank and inner.shape[0] != 1):
            return None
        dim = inner.dim() - (rank - 1)  # where the columns are
        if dim < 0 or inner.shape[dim] == 1:
            sides.append([inner, inner])
            continue
        cut = [_columns(inner, mixed.order, side, dim) for side in (True, False)]
        sides.append(cut)
        del place
    user = p.emit(call.operator, *(s[0] for s in sides), **call.kwargs)
    full = p.emit(call.operator, *(s[1] for s in sides), **call.kwargs)
    return Mixed(user, full, mixed.order)


def _columns(tensor: Tensor, order: Sequence[tuple[bool, int]], side: bool, dim: int) -> Tensor:
    """The columns of a side."""
    kept: list[int] = []
    at = 0
    for own, width in order:
        if own == side:
            kept += range(at, at + width)
        at += width
    return tensor.index_select(dim, torch.tensor(kept, dtype=torch.int64)).contiguous()


def _binary_of_steps(p: Pass, call: Call, a: Known, b: Known) -> Known:
    operands: list[Any] = []
    steps: list[Steps] = []
    for value in (a, b):
        if isinstance(value, Const) or not isinstance(value, SIDED):
            inner = value.value if isinstance(value, Const) else value
            rank = p.shapes[len(p.values)].dim()
            if isinstance(inner, Tensor) and inner.dim() >= rank and inner.shape[0] != 1:
                return None
            operands.append(inner)
            continue
        found = p.steps(value)
        if found is None or (steps and steps[0].key != found.key):
            return None
        steps.append(found)
        operands.append(Value(found.number))
    number = p.emit(call.operator, *operands, **call.kwargs)
    made = Steps(number, steps[0].key, any(s.per_row for s in steps), any(s.per_step for s in steps))
    if call.operator == "aten.mul.Tensor" and len(steps) == 2:
        widths = [p.shapes[x.number].shape[-1] for x in call.args[:2]]
        ranks = {p.shapes[x.number].dim() for x in call.args[:2]}
        if ranks == {2} and 1 in widths:
            narrow, wide = steps if widths[0] == 1 else steps[::-1]
            made = replace(made, factors=(narrow, wide))
    return made


@_rule("aten.linear.default")
def _linear(p: Pass, call: Call, args: Any) -> Known:
    value, weight, *bias = args
    if not isinstance(weight, Const) or (bias and not isinstance(bias[0], Const | type(None))):
        return None
    matrix, add = weight.value, [b.value for b in bias if isinstance(b, Const)]
    rank = p.shapes[call.args[0].number].dim()
    match value:
        case Mixed(user, full, order) if rank == 2:
            mine = p.emit("aten.linear.default", Value(user), _columns(matrix, order, True, 1), *add)
            theirs = _columns(matrix, order, False, 1).t().contiguous()
            return Full(p.emit("aten.addmm.default", Value(mine), Value(full), theirs))
        case Mixed():
            return _both(p, call, value, matrix, *add)
        case Steps():
            number = p.emit("aten.linear.default", Value(value.number), matrix, *add)
            return replace(value, number=number, factors=None)
        case Beside(parts) if rank == 2:
            return _linear_of_parts(p, parts, matrix, add)
    return None


def _linear_of_parts(p: Pass, parts: Sequence[tuple[Steps, int]], matrix: Tensor, add: list[Tensor]) -> Steps:
    """A matrix over values side by side: the sum of its parts', small ones first."""
    at, products = 0, []
    for value, width in parts:
        products.append((value, matrix[:, at : at + width].contiguous()))
        at += width
    products.sort(key=lambda part: part[0].per_row + part[0].per_step)
    total: Steps | None = None
    for value, part in products:
        number = p.emit("aten.linear.default", Value(value.number), part, *(add if total is None else []))
        made = replace(value, number=number, factors=None)
        if total is None:
            total = made
            continue
        number = p.emit("aten.add.Tensor", Value(made.number), Value(total.number))
        total = Steps(number, made.key, made.per_row or total.per_row, made.per_step or total.per_step)
    assert total is not None
    return total


@_rule("aten.cat.default")
def _cat(p: Pass, call: Call, args: Any) -> Known:
    values, dim = args[0], args[1] if len(args) > 1 else 0
    tensors = [p.shapes[x.number] for x in call.args[0]]
    rank = tensors[0].dim()
    if dim % rank != 1:
        return None
    widths = [t.shape[1] for t in tensors]
    if any(isinstance(v, Steps | Beside) for v in values):
        parts: list[tuple[Steps, int]] = []
        for value, width in zip(values, widths, strict=True):
            found = p.steps(value)
            if isinstance(value, Beside):
                parts += value.parts
            elif found is None or rank != 2:
                return None
            else:
                parts.append((found, width))
        return Beside(tuple(parts)) if len({s.key for s, _ in parts}) == 1 else None
    able = all(isinstance(v, Mixed | Full) or (isinstance(v, User) and v.rows and v.steps is None) for v in values)
    if not able or all(isinstance(v, User) for v in values) or all(isinstance(v, Full) for v in values):
        return None
    mine: list[Value] = []
    theirs: list[Value] = []
    order: list[tuple[bool, int]] = []
    for value, width in zip(values, widths, strict=True):
        if isinstance(value, Mixed):
            mine.append(Value(value.user))
            theirs.append(Value(value.full))
            order += value.order
        else:
            (mine if isinstance(value, User) else theirs).append(Value(value.number))
            order.append((isinstance(value, User), width))
    merged = tuple((side, sum(w for _, w in run)) for side, run in groupby(order, key=lambda piece: piece[0]))
    user, full = (p.emit("aten.cat.default", part, 1) if len(part) > 1 else part[0].number for part in (mine, theirs))
    return Mixed(user, full, merged)


@_rule("aten.view.default")
def _view(p: Pass, call: Call, args: Any) -> Known:
    value = args[0]
    shape, before = p.shapes[len(p.values)].shape, p.shapes[call.args[0].number].shape
    if not isinstance(value, Mixed):
        return None
    if shape[0] != before[0] or {len(before), len(shape)} != {2, 3}:
        return None
    dim = max((before, shape), key=len)[2]
    if len(shape) == 3 and any(width % dim for _, width in value.order):
        return None
    order = tuple((side, width // dim if len(shape) == 3 else width * dim) for side, width in value.order)
    sizes = {side: sum(width for own, width in order if own is side) for side in (True, False)}
    user, full = (
        p.emit("aten.view.default", Value(n), [-1, sizes[side], *([dim] if len(shape) == 3 else [])])
        for n, side in ((value.user, True), (value.full, False))
    )
    return Mixed(user, full, order)


def _cut(p: Pass, value: Mixed, start: int, stop: int) -> Known:
    """Some neighbouring columns."""
    order, at, used = [], 0, {True: 0, False: 0}
    bounds: dict[bool, list[int]] = {}
    for side, width in value.order:
        low, high = max(start, at), min(stop, at + width)
        if low < high:
            order.append((side, high - low))
            first = used[side] + low - at
            bounds.setdefault(side, [first, first])[1] = first + high - low
        at += width
        used[side] += width
    made = {
        side: p.emit("aten.slice.Tensor", Value(value.user if side else value.full), 1, *ends)
        for side, ends in bounds.items()
    }
    if len(made) == 2:
        return Mixed(made[True], made[False], tuple(order))
    return User(made[True]) if True in made else Full(made[False])


@_rule("aten.slice.Tensor")
def _slice(p: Pass, call: Call, args: Any) -> Known:
    given: list[Any] = [*args, *[0, 0, LARGEST][len(args) - 1 :]]
    value, dim, start, stop, *step = given
    rank = p.shapes[call.args[0].number].dim()
    width = p.shapes[call.args[0].number].shape[dim % rank]
    if any(isinstance(x, SIDED) for x in (start, stop)) or any(s != 1 for s in step):
        return None
    start, stop = (x.value if isinstance(x, Const) else x for x in (start, stop))
    start, stop, _ = slice(start, stop).indices(width)
    match value:
        case Mixed() if dim % rank == 1:
            return _cut(p, value, start, stop)
        case Mixed() if dim % rank > 1:
            return _both(p, call, value, dim % rank, start, stop)
        case Steps() if dim % rank:
            return replace(
                value,
                number=p.emit("aten.slice.Tensor", Value(value.number), dim % rank + 1, start, stop),
                factors=None,
            )
    return None


@_rule("aten.split_with_sizes.default")
def _split(p: Pass, call: Call, args: Any) -> Known:
    value, sizes, dim = (*args, 0)[:3]
    rank = p.shapes[call.args[0].number].dim()
    if not isinstance(value, Mixed) or dim % rank != 1:
        return None
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    return tuple(_cut(p, value, end - size, end) for size, end in zip(sizes, ends, strict=True))


@_rule("aten.select.int")
def _select(p: Pass, call: Call, args: Any) -> Known:
    value, dim, index = args
    rank = p.shapes[call.args[0].number].dim()
    if not isinstance(value, Mixed) or dim % rank != 1 or not isinstance(index, int):
        return None
    place = index % p.shapes[call.args[0].number].shape[1]
    part = _cut(p, value, place, place + 1)
    number = p.emit("aten.select.int", Value(part.number), 1, 0)
    return User(number) if isinstance(part, User) else Full(number)


@_rule("aten.sum.dim_IntList")
def _sum(p: Pass, call: Call, args: Any) -> Known:
    value, dims, *keep = args
    if not dims:  # all of them
        return None
    rank = p.shapes[call.args[0].number].dim()
    named = {d % rank for d in dims}
    match value:
        case Mixed(user, full) if 1 in named and 0 not in named:
            parts = [Value(p.emit(call.operator, Value(n), dims, *keep, **call.kwargs)) for n in (user, full)]
            return Full(p.emit("aten.add.Tensor", parts[1], parts[0]))
        case Mixed() if 0 not in named:
            return _both(p, call, value, dims, *keep)
        case Steps() if 0 not in named:
            moved = [d + 1 for d in named]
            return replace(
                value, number=p.emit(call.operator, Value(value.number), moved, *keep, **call.kwargs), factors=None
            )
    return None


@_rule("aten.unsqueeze.default", "aten.squeeze.dims")
def _squeeze(p: Pass, call: Call, args: Any) -> Known:
    value, dims = args
    rank = p.shapes[call.args[0].number].dim() + (call.operator == "aten.unsqueeze.default")
    named = [d % rank for d in (dims if isinstance(dims, list) else [dims])]
    if 0 in named:
        return None
    match value:
        case Steps():
            moved: Any = [d + 1 for d in named]
            moved = moved if isinstance(dims, list) else moved[0]
            return replace(value, number=p.emit(call.operator, Value(value.number), moved), factors=None)
        case Mixed() if 1 not in named:
            return _both(p, call, value, dims)
        case RowsOf():
            return replace(value, shaped=(*value.shaped, (call.operator, dims)))
    return None


@_rule("aten.index_select.default")
def _gather(p: Pass, call: Call, args: Any) -> Known:
    value, dim, index = args
    if not isinstance(index, RowsOf) or index.shaped or dim != 0:
        return None
    if isinstance(value, Mixed):
        value = Full(p.full(value, None))
    match value:
        case Full(number):
            return Steps(p.emit("aten.unsqueeze.default", Value(number), 1), index.key, True, False)
        case User(number, None, True):
            return Steps(p.emit("aten.unsqueeze.default", Value(number), 1), index.key, False, False)
    return None


@_rule("aten.index_add.default")
def _add_up(p: Pass, call: Call, args: Any) -> Known:
    """Sums over the steps of each row."""
    start, dim, index, found = args[:4]
    zero = isinstance(start, Filled) and start.number == 0
    known = zero or isinstance(start, User | Full | Filled)
    if (
        not isinstance(index, RowsOf)
        or dim != 0
        or not known
        or not isinstance(found, Steps)
        or call.kwargs
        or args[4:]
    ):
        return None
    total: Full | User | None = None
    if found.factors is not None:
        narrow, wide = found.factors
        if narrow.per_row and narrow.per_step and wide.per_step and not wide.per_row:
            weights = p.emit("aten.squeeze.dims", Value(narrow.number), [2])
            vectors = p.emit("aten.squeeze.dims", Value(wide.number), [0])
            total = Full(p.emit("aten.matmul.default", Value(weights), Value(vectors)))
    if total is None:
        if not found.per_step:
            return None
        number = p.emit("aten.sum.dim_IntList", Value(found.number), [1])
        total = Full(number) if found.per_row else User(number)
    if zero:
        return total
    if isinstance(start, User) and (start.steps is not None or not start.rows):
        return None
    user = isinstance(total, User) and not isinstance(start, Full)
    number = p.emit("aten.add.Tensor", p.plain(start, user=user or isinstance(start, User)), Value(total.number))
    return User(number) if user else Full(number)


@_rule("aten.scatter_reduce.two")
def _highest(p: Pass, call: Call, args: Any) -> Known:
    """The highest of the steps of each row, and of a number: there may be no step."""
    start, dim, index, found, reduce, *rest = args
    given = isinstance(start, Filled) and isinstance(index, RowsOf) and isinstance(found, Steps)
    if not given or dim != 0 or reduce != "amax" or rest or call.kwargs or not found.per_step:
        return None
    tail = [int(n) for n in p.shapes[call.args[3].number].shape[1:]]
    rows = Value(p.rows()) if found.per_row else 1
    least = p.emit("aten.full.default", [rows, 1, *tail], start.number, **start.options)
    both = p.emit("aten.cat.default", [Value(least), Value(found.number)], 1)
    number = p.emit("aten.amax.default", Value(both), [1])
    return Full(number) if found.per_row else User(number)


@_rule("aten._native_batch_norm_legit_no_training.default")
def _batch_norm(p: Pass, call: Call, args: Any) -> Known:
    """A factor and a summand for each column."""
    value, weight, bias, mean, variance, _, eps = args
    consts = [w.value if isinstance(w, Const) else w for w in (weight, bias, mean, variance)]
    if any(isinstance(w, SIDED) for w in consts) or p.shapes[call.args[0].number].dim() != 2:
        return None
    weight, bias, mean, variance = consts
    scale: Tensor = torch.rsqrt(variance + eps)
    scale = scale if weight is None else scale * weight
    shift: Tensor = -mean * scale if bias is None else bias - mean * scale
    match value:
        case Steps():
            scaled = p.emit("aten.mul.Tensor", Value(value.number), scale)
            made: Known = replace(value, number=p.emit("aten.add.Tensor", Value(scaled), shift), factors=None)
        case Mixed(user, full, order):
            numbers = []
            for side, number in ((True, user), (False, full)):
                scaled = p.emit("aten.mul.Tensor", Value(number), _columns(scale, order, side, 0))
                numbers.append(p.emit("aten.add.Tensor", Value(scaled), _columns(shift, order, side, 0)))
            made = Mixed(numbers[0], numbers[1], order)
        case _:
            return None
    return made, None, None


@_rule("aten.native_layer_norm.default")
def _layer_norm(p: Pass, call: Call, args: Any) -> Known:
    value, shape, *rest = args
    rank = p.shapes[call.args[0].number].dim()
    weights = [r.value if isinstance(r, Const) else r for r in rest]
    if not isinstance(value, Steps) or len(shape) >= rank or any(isinstance(w, SIDED) for w in weights):
        return None
    number = p.emit(call.operator, Value(value.number), [int(n) for n in shape], *weights)
    return replace(value, number=p.emit("getitem", Value(number), 0), factors=None), None, None
