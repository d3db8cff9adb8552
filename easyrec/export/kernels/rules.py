"""What the kernels do for each operator of a stored program: one rule an operator.

A rule takes the writer, the result for the example's rows, and the arguments of the call: values of the steps, tensors and
numbers that depend on no row. It adds steps, and returns the value of the result, or one per result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

if TYPE_CHECKING:
    from easyrec.export.kernels.steps import Writer

Rule: TypeAlias = "Callable[..., Any]"
RULES: dict[str, Rule] = {}
DIMENSIONS = 3
"""That a step knows of a row."""


@dataclass(frozen=True)
class Row:
    """A value of the steps.

    Attributes:
        number: Its number; those of constants are negative while the steps are written.
        once: Whether it has one row for all.
        shape: Of a row.
        at: Its first number in the value: it may be a part of one.
    """

    number: int
    once: bool
    shape: tuple[int, ...]
    at: int = 0

    @property
    def width(self) -> int:
        """Numbers of a row."""
        return math.prod(self.shape)


class Unknown(Exception):  # noqa: N818 (it never leaves this file)
    """The kernels cannot do a call."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Makes a function the rule of some operators."""

    def keep(function: Rule) -> Rule:
        RULES.update(dict.fromkeys((n if "." in n or n == "getitem" else f"aten.{n}.default" for n in names), function))
        return function

    return keep


def _dim(dim: int, row: Row) -> int:
    """A dimension of a value as one of its row.

    Raises:
        Unknown: It counts rows.
    """
    found = dim % (len(row.shape) + 1)
    if found == 0:
        raise Unknown("over rows")
    return found - 1


def _row(value: Any) -> Row:
    if not isinstance(value, Row):
        raise Unknown("of what has no rows")
    return value


def _weight(value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise Unknown("by what is no weight")
    return value


def _around(shape: Sequence[int], dim: int) -> tuple[int, int, int]:
    """How many there are before a dimension, along it, and behind."""
    return math.prod(shape[:dim]), shape[dim], math.prod(shape[dim + 1 :])


# ------------------------------------------------------------------------------------------------- one by one

UNARY = (
    "relu",
    "neg",
    "square",
    "abs",
    "sqrt",
    "rsqrt",
    "reciprocal",
    "log",
    "log1p",
    "tanh",
    "exp",
    "sigmoid",
)


def _unary(name: str) -> Rule:
    def apply(w: Writer, found: Any, x: Row) -> Row:
        return w.add("unary", w.tail(found), x, name=name)

    return apply


RULES |= {f"aten.{name}.default": _unary(name) for name in UNARY}


@rule("gelu")
def _gelu(w: Writer, found: Any, x: Row, *, approximate: str = "none") -> Row:
    if approximate != "none":
        raise Unknown("approximate")
    return w.add("unary", w.tail(found), x, name="gelu")


@rule("leaky_relu")
def _leaky_relu(w: Writer, found: Any, x: Row, slope: float = 0.01) -> Row:
    return w.add("unary", w.tail(found), x, name="leaky_relu", number=float(slope))


@rule("clamp", "hardtanh")
def _clamp(w: Writer, found: Any, x: Row, low: float | None = None, high: float | None = None) -> Row:
    for name, bound in (("at_least", low), ("at_most", high)):
        if bound is not None:
            x = w.add("unary", w.tail(found), x, name=name, number=float(bound))
    return x


@rule("aten.pow.Tensor_Scalar")
def _pow(w: Writer, found: Any, x: Row, exponent: float) -> Row:
    names = {2: "square", 0.5: "sqrt", -0.5: "rsqrt", -1: "reciprocal"}
    if exponent not in names:
        raise Unknown(f"to the power of {exponent}")
    return w.add("unary", w.tail(found), x, name=names[exponent])


# ------------------------------------------------------------------------------------------------- two by two


def _binary(name: str) -> Rule:
    def apply(w: Writer, found: Any, x: Any, y: Any, *, alpha: float = 1) -> Row:
        if alpha != 1:
            raise Unknown(f"times {alpha}")
        shape = w.tail(found)
        operands = [_operand(w, value, shape) for value in (x, y)]
        sizes, steps = _merged(shape, [steps for _, steps in operands])
        (a, _), (b, _) = operands
        return w.add(
            "binary", shape, a, b, name=name, y=b.number, sizes=sizes, x_steps=steps[0], y_steps=steps[1], y_at=b.at
        )

    return apply


RULES |= {
    f"aten.{name}.{form}": _binary(name) for name in ("add", "sub", "mul", "div") for form in ("Tensor", "Scalar")
}
RULES |= {f"aten.{name}.default": _binary(name) for name in ("maximum", "minimum")}


def _operand(w: Writer, value: Any, shape: Sequence[int]) -> tuple[Row, list[int]]:
    """A value that meets others in rows of a shape, and how far apart its numbers are along each dimension; 0: one for all."""
    if isinstance(value, Row):
        own = value.shape
        if len(own) != len(shape):
            raise Unknown("of different numbers of dimensions")
        row = value
    else:
        tensor = torch.as_tensor(value)
        own = tuple(int(n) for n in tensor.shape)
        if len(own) > len(shape):
            if len(own) > len(shape) + 1 or own[0] != 1:
                raise Unknown("of a weight with rows")
            own = own[1:]
        own = (1,) * (len(shape) - len(own)) + own
        row = w.constant(tensor)
    steps, step = [], 1
    for size in own[::-1]:
        steps.append(0 if size == 1 else step)
        step *= size
    return row, steps[::-1]


def _merged(shape: Sequence[int], operands: Sequence[Sequence[int]]) -> tuple[list[int], list[list[int]]]:
    """Sizes and steps in as few dimensions as can be, and then in three.

    Raises:
        Unknown: There are more.
    """
    sizes: list[int] = []
    steps: list[list[int]] = [[] for _ in operands]
    for dim, size in enumerate(shape):
        own = [operand[dim] for operand in operands]
        if size == 1:
            continue
        if sizes and all(all_[-1] == step * size for all_, step in zip(steps, own, strict=True)):
            sizes[-1] *= size
            for all_, step in zip(steps, own, strict=True):
                all_[-1] = step
            continue
        sizes.append(size)
        for all_, step in zip(steps, own, strict=True):
            all_.append(step)
    if len(sizes) > DIMENSIONS:
        raise Unknown(f"over {len(sizes)} dimensions")
    if not sizes:
        sizes, steps = [1], [[1] for _ in operands]
    before = DIMENSIONS - len(sizes)
    return [1] * before + sizes, [[0] * before + own for own in steps]


# ------------------------------------------------------------------------------------------------- products


@rule("linear")
def _linear(w: Writer, found: Any, x: Any, weight: Any, bias: Any = None) -> Row:
    added = None if bias is None else w.constant(_weight(bias))
    return _product(w, found, _row(x), _weight(weight).t(), added)


@rule("addmm")
def _addmm(w: Writer, found: Any, added: Any, x: Any, weight: Any) -> Row:
    start = added if isinstance(added, Row) else w.constant(_weight(added))
    if start.width != _weight(weight).shape[1]:
        raise Unknown("of what is added to several columns")
    return _product(w, found, _row(x), _weight(weight), start)


@rule("matmul", "mm", "bmm")
def _matmul(w: Writer, found: Any, x: Any, y: Any) -> Row:
    if isinstance(x, Row) and isinstance(y, Row):
        if len(x.shape) != 2 or len(y.shape) != 2:
            raise Unknown("of no matrices")
        sizes = [*x.shape, y.shape[1]]
        return w.add("matmul", w.tail(found), x, y, y=y.number, y_at=y.at, sizes=sizes)
    return _product(w, found, _row(x), _weight(y), None)


def _product(w: Writer, found: Any, x: Row, matrix: Tensor, added: Row | None) -> Row:
    """Rows times a matrix (k, n); of a value with more dimensions each of its last one."""
    if matrix.dim() != 2 or not x.shape or x.shape[-1] != matrix.shape[0]:
        raise Unknown("by no matrix")
    k, n = (int(size) for size in matrix.shape)
    if added is not None and not added.once and len(x.shape) > 1:
        raise Unknown("of what is added to several rows")
    more = () if added is None else (added,)
    parts = {} if added is None else {"added": added.number, "added_at": added.at}
    sizes = [k, n, x.width // k]
    return w.add("product", w.tail(found), x, *more, matrix=w.constant(matrix).number, sizes=sizes, **parts)


# ------------------------------------------------------------------------------------------------- reductions


def _reduced(name: str) -> Rule:
    def apply(w: Writer, found: Any, x: Row, dims: Any = None, keepdim: bool = False) -> Row:
        dims = [dims] if isinstance(dims, int) else dims
        if not dims:
            raise Unknown("over rows")
        named = sorted(_dim(dim, x) for dim in dims)
        if named != list(range(named[0], named[-1] + 1)):
            raise Unknown("over dimensions that are no neighbours")
        before, _, _ = _around(x.shape, named[0])
        behind = _around(x.shape, named[-1])[2]
        return w.add("reduce", w.tail(found), x, name=name, sizes=[before, x.width // before // behind, behind])

    return apply


RULES |= {
    "aten.sum.dim_IntList": _reduced("sum"),
    "aten.mean.dim": _reduced("mean"),
    "aten.amax.default": _reduced("amax"),
    "aten.amin.default": _reduced("amin"),
}


@rule("_softmax")
def _softmax(w: Writer, found: Any, x: Row, dim: int, half: bool) -> Row:
    return w.add("softmax", w.tail(found), x, sizes=list(_around(x.shape, _dim(dim, x))))


@rule("native_layer_norm")
def _layer_norm(
    w: Writer, found: Any, x: Row, shape: Sequence[int], weight: Any, bias: Any, eps: float
) -> tuple[Row | None, ...]:
    width = math.prod(shape)
    if len(shape) > len(x.shape):
        raise Unknown("over rows")
    result = found[0]
    out = w.add("norm", w.tail(result), x, sizes=[x.width // width, width, 1], number=float(eps))
    if weight is not None:
        out = RULES["aten.mul.Tensor"](w, result, out, _weight(weight))
    if bias is not None:
        out = RULES["aten.add.Tensor"](w, result, out, _weight(bias))
    return out, None, None


@rule("_native_batch_norm_legit_no_training")
def _batch_norm(
    w: Writer, found: Any, x: Row, weight: Any, bias: Any, mean: Any, variance: Any, _: float, eps: float
) -> tuple[Row | None, ...]:
    result, columns = found[0], (-1, *(1,) * (len(x.shape) - 1))
    scale = torch.rsqrt(_weight(variance) + eps)
    scale = scale if weight is None else scale * _weight(weight)
    shift = -_weight(mean) * scale if bias is None else _weight(bias) - _weight(mean) * scale
    out = RULES["aten.mul.Tensor"](w, result, x, scale.reshape(columns))
    return RULES["aten.add.Tensor"](w, result, out, shift.reshape(columns)), None, None


# ------------------------------------------------------------------------------------------------- shapes


@rule("alias", "clone", "view", "_to_copy", "unsqueeze", "aten.squeeze.dims", "aten.squeeze.dim")
def _same(w: Writer, found: Any, x: Row, *_: Any, **__: Any) -> Row:
    """The same numbers in the same order."""
    shape = w.tail(found)
    if math.prod(shape) != x.width:
        raise Unknown("its first dimension does not count rows")
    return replace(x, shape=shape)


class NumRows:
    """The number of rows: known when the steps run."""


@rule("aten.sym_size.int")
def _size(w: Writer, found: Any, x: Row, dim: int) -> Any:
    return NumRows() if dim % (len(x.shape) + 1) == 0 else found


@rule("expand")
def _expand(w: Writer, found: Any, x: Row, _: Any) -> Row:
    shape = w.tail(found)
    if shape == x.shape:
        return x  # a row for all stays one
    return _strided(w, shape, x, _operand(w, x, shape)[1])


@rule("permute")
def _permute(w: Writer, found: Any, x: Row, dims: Sequence[int]) -> Row:
    order = [dim % (len(x.shape) + 1) for dim in dims]
    if order[0] != 0:
        raise Unknown("of rows")
    steps = [math.prod(x.shape[dim:]) for dim in order[1:]]
    return _strided(w, w.tail(found), x, steps)


@rule("aten.select.int")
def _select(w: Writer, found: Any, x: Row, dim: int, index: int) -> Row:
    place = _dim(dim, x)
    return _part(w, w.tail(found), x, place, index % x.shape[place], 1)


@rule("aten.slice.Tensor")
def _slice(
    w: Writer, found: Any, x: Row, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Row:
    place = _dim(dim, x)
    first, last, by = slice(start, end, step).indices(x.shape[place])
    if by != 1:
        raise Unknown("in steps")
    return _part(w, w.tail(found), x, place, first, last - first)


@rule("aten.split_with_sizes.default")
def _split(w: Writer, found: Any, x: Row, sizes: Sequence[int], dim: int = 0) -> tuple[Row, ...]:
    place = _dim(dim, x)
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return tuple(
        _part(w, w.tail(part), x, place, start, size) for part, start, size in zip(found, starts, sizes, strict=True)
    )


@rule("getitem")
def _item(w: Writer, found: Any, x: Any, place: int) -> Any:
    return x[place]


@rule("cat")
def _cat(w: Writer, found: Any, parts: Sequence[Any], dim: int = 0) -> Row:
    rows = [_row(part) for part in parts]
    return _beside(w, w.tail(found), rows, _dim(dim, rows[0]), [row.shape for row in rows])


@rule("stack")
def _stack(w: Writer, found: Any, parts: Sequence[Any], dim: int = 0) -> Row:
    rows, shape = [_row(part) for part in parts], w.tail(found)
    place = dim % (len(shape) + 1) - 1
    if place < 0:
        raise Unknown("over rows")
    return _beside(w, shape, rows, place, [(*row.shape[:place], 1, *row.shape[place:]) for row in rows])


def _beside(w: Writer, shape: tuple[int, ...], rows: Sequence[Row], dim: int, shapes: Sequence[Sequence[int]]) -> Row:
    """Values side by side along a dimension."""
    out, at = w.value(shape, once=all(row.once for row in rows)), 0
    step = math.prod(shape[dim:])
    behind = math.prod(shape[dim + 1 :])
    for row, own in zip(rows, shapes, strict=True):
        before, along, _ = _around(own, dim)
        if not along:
            continue
        size = along * behind
        w.steps.append(
            {
                "kind": "copy",
                "out": out.number,
                "x": row.number,
                "x_at": row.at,
                "sizes": [1, before, size],
                "x_steps": [0, size, 1],
                "out_steps": [0, step, 1],
                "out_at": at,
            }
        )
        at += size
    return out


def _part(w: Writer, shape: tuple[int, ...], x: Row, dim: int, start: int, size: int) -> Row:
    """Some neighbours along a dimension."""
    before, along, behind = _around(x.shape, dim)
    count = size * behind
    if before == 1:
        return replace(x, shape=shape, at=x.at + start * behind)
    return w.add(
        "copy",
        shape,
        x,
        sizes=[1, before, count],
        x_steps=[0, along * behind, 1],
        out_steps=[0, count, 1],
        x_at=x.at + start * behind,
    )


def _strided(w: Writer, shape: tuple[int, ...], x: Row, steps: Sequence[int]) -> Row:
    """A row whose numbers are found in another order, or more than once."""
    out = [math.prod(shape[dim + 1 :]) for dim in range(len(shape))]
    sizes, (x_steps, out_steps) = _merged(shape, [steps, out])
    return w.add("copy", shape, x, sizes=sizes, x_steps=x_steps, out_steps=out_steps)
