"""What ONNX has for each operator of a stored program: one rule an operator.

A rule takes the builder, the result for the example's rows (its type and number of dimensions are those of any rows), and the
arguments of the call. It adds nodes, and returns the name of the result, or one per result.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

if TYPE_CHECKING:
    from easyrec.export.onnx.model import Builder, Known

Rule: TypeAlias = "Callable[..., Any]"
OPERATORS: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Makes a function the rule of some operators."""

    def keep(function: Rule) -> Rule:
        OPERATORS.update(
            dict.fromkeys((n if "." in n or n in _SIZES else f"aten.{n}.default" for n in names), function)
        )
        return function

    return keep


_SIZES = (
    "getitem",
    "add",
    "sub",
    "mul",
    "floordiv",
    "truediv",
    "mod",
    "neg",
    "sym_max",
    "sym_min",
    "sym_int",
    "sym_float",
)


NARROW = 16
"""Numbers a row that may be probabilities: what is computed of so few need not be fast."""


def _dim(dim: int, rank: int) -> int:
    return dim + rank if dim < 0 else dim


# ------------------------------------------------------------------------------------- one by one

UNARY = {
    "abs": "Abs",
    "acos": "Acos",
    "asin": "Asin",
    "atan": "Atan",
    "ceil": "Ceil",
    "cos": "Cos",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "isinf": "IsInf",
    "isnan": "IsNaN",
    "log": "Log",
    "neg": "Neg",
    "reciprocal": "Reciprocal",
    "relu": "Relu",
    "round": "Round",
    "sign": "Sign",
    "sin": "Sin",
    "sinh": "Sinh",
    "cosh": "Cosh",
    "sqrt": "Sqrt",
    "tan": "Tan",
    "tanh": "Tanh",
    "logical_not": "Not",
}


def _unary(kind: str) -> Rule:
    def apply(b: Builder, example: Any, x: Known) -> Any:
        wanted = torch.bool if kind == "Not" else x.dtype if kind in ("IsInf", "IsNaN") else example.dtype
        return b.add(kind, b.cast(x, wanted))

    return apply


OPERATORS |= {f"aten.{name}.default": _unary(kind) for name, kind in UNARY.items()}


@rule("alias", "clone")
def _alias(b: Builder, _: Any, x: Known) -> Any:
    return b.add("Identity", x.name)


@rule("_to_copy")
def _to_copy(b: Builder, example: Any, x: Known, **_: Any) -> Any:
    return b.cast(x, example.dtype)


@rule("sigmoid")
def _sigmoid(b: Builder, example: Any, x: Known) -> Any:
    """ONNX Runtime's is off by 1e-8 and 0 below logits of -17: gates do not notice, but small probabilities would tie."""
    name = b.cast(x, example.dtype)
    if example.dim() and example[:1].numel() > NARROW:
        return b.add("Sigmoid", name)
    return b.add("Reciprocal", b.add("Add", b.add("Exp", b.add("Neg", name)), b.constant(1.0, example.dtype)))


@rule("square")
def _square(b: Builder, _: Any, x: Known) -> Any:
    return b.add("Mul", x.name, x.name)


@rule("rsqrt")
def _rsqrt(b: Builder, _: Any, x: Known) -> Any:
    return b.add("Reciprocal", b.add("Sqrt", x.name))


@rule("log2")
def _log2(b: Builder, example: Any, x: Known) -> Any:
    return b.add("Div", b.add("Log", b.cast(x, example.dtype)), b.constant(math.log(2.0), example.dtype))


@rule("log1p")
def _log1p(b: Builder, example: Any, x: Known) -> Any:
    """By Kahan's ratio, which is exact near 0 where log(1 + x) is not."""
    one, name = b.constant(1.0, example.dtype), b.cast(x, example.dtype)
    u = b.add("Add", name, one)
    rest = b.add("Sub", u, one)
    ratio = b.add("Div", b.add("Mul", b.add("Log", u), name), rest)
    return b.add("Where", b.add("Equal", rest, b.constant(0.0, example.dtype)), name, ratio)


@rule("expm1")
def _expm1(b: Builder, example: Any, x: Known) -> Any:
    """By Kahan's ratio, which is exact near 0 where exp(x) - 1 is not."""
    one, name = b.constant(1.0, example.dtype), b.cast(x, example.dtype)
    u = b.add("Exp", name)
    rest = b.add("Sub", u, one)
    ratio = b.add("Div", b.add("Mul", rest, name), b.add("Log", u))
    large = b.add("Greater", b.add("Abs", name), b.constant(1.0, example.dtype))
    near = b.add("Where", b.add("Equal", rest, b.constant(0.0, example.dtype)), name, ratio)
    return b.add("Where", large, rest, near)


@rule("gelu")
def _gelu(b: Builder, _: Any, x: Known, approximate: str = "none") -> Any:
    return b.add("Gelu", x.name, approximate=approximate)


@rule("leaky_relu")
def _leaky_relu(b: Builder, _: Any, x: Known, slope: float = 0.01) -> Any:
    return b.add("LeakyRelu", x.name, alpha=float(slope))


@rule("clamp", "aten.clamp.Tensor", "aten.hardtanh.default")
def _clamp(b: Builder, example: Any, x: Known, low: Any = None, high: Any = None) -> Any:
    name = b.cast(x, example.dtype)
    name = name if low is None else b.add("Max", name, b.cast(low, example.dtype))
    return name if high is None else b.add("Min", name, b.cast(high, example.dtype))


@rule("atan2")
def _atan2(b: Builder, example: Any, y: Known, x: Known) -> Any:
    """By the half-plane of x; y / 0 is infinite, whose arc tangent is a right angle."""
    (top, bottom), dtype = b.same(y, x)
    zero, pi = b.constant(0.0, dtype), b.constant(math.pi, dtype)
    below, left = b.add("Less", top, zero), b.add("Less", bottom, zero)
    turned = b.add("Where", below, b.add("Neg", pi), pi)
    angle = b.add("Atan", b.add("Div", top, bottom))
    angle = b.add("Add", angle, b.add("Where", left, turned, zero))
    level = b.add("Equal", top, zero)
    return b.add("Where", level, b.add("Where", left, pi, zero), angle)  # 0 / 0 is no number


@rule("bitwise_not")
def _not(b: Builder, _: Any, x: Known) -> Any:
    return b.add("Not" if x.dtype == torch.bool else "BitwiseNot", x.name)


# ------------------------------------------------------------------------------------- two by two

BINARY = {"mul": "Mul", "maximum": "Max", "minimum": "Min"}
COMPARED = {"eq": "Equal", "gt": "Greater", "ge": "GreaterOrEqual", "lt": "Less", "le": "LessOrEqual"}
LOGICAL = {"and": "And", "or": "Or", "xor": "Xor"}


def _binary(kind: str) -> Rule:
    def apply(b: Builder, example: Any, x: Any, y: Any) -> Any:
        if example.dtype == torch.bool:
            return b.add({"Mul": "And", "Max": "Or", "Min": "And"}[kind], x.name, y.name)
        return b.add(kind, b.cast(x, example.dtype), b.cast(y, example.dtype))

    return apply


def _compared(kind: str, *, negated: bool = False) -> Rule:
    def apply(b: Builder, _: Any, x: Any, y: Any) -> Any:
        names, dtype = b.same(x, y)
        if dtype == torch.bool and kind != "Equal":
            names = [b.to(name, torch.int32) for name in names]
        found = b.add(kind, *names)
        return b.add("Not", found) if negated else found

    return apply


def _logical(kind: str, *, bits: bool) -> Rule:
    def apply(b: Builder, example: Any, x: Known, y: Any) -> Any:
        if example.dtype == torch.bool:
            return b.add(kind, b.cast(x, torch.bool), b.cast(y, torch.bool))
        return b.add(f"Bitwise{kind}" if bits else kind, b.cast(x, example.dtype), b.cast(y, example.dtype))

    return apply


OPERATORS |= {f"aten.{name}.{form}": _binary(kind) for name, kind in BINARY.items() for form in ("Tensor", "default")}
OPERATORS |= {
    f"aten.{name}.{form}": _compared(kind) for name, kind in COMPARED.items() for form in ("Tensor", "Scalar")
}
OPERATORS |= {f"aten.ne.{form}": _compared("Equal", negated=True) for form in ("Tensor", "Scalar")}
OPERATORS |= {f"aten.bitwise_{n}.{f}": _logical(k, bits=True) for n, k in LOGICAL.items() for f in ("Tensor", "Scalar")}
OPERATORS |= {f"aten.logical_{n}.default": _logical(k, bits=False) for n, k in LOGICAL.items()}


@rule("aten.add.Tensor", "aten.add.Scalar")
def _add(b: Builder, example: Any, x: Any, y: Any, alpha: float = 1, *, kind: str = "Add") -> Any:
    if example.dtype == torch.bool and kind == "Add":
        return b.add("Or", x.name, y.name)
    second = b.cast(y, example.dtype)
    if alpha != 1:
        second = b.add("Mul", second, b.constant(alpha, example.dtype))
    return b.add(kind, b.cast(x, example.dtype), second)


@rule("aten.sub.Tensor", "aten.sub.Scalar")
def _sub(b: Builder, example: Any, x: Any, y: Any, alpha: float = 1) -> Any:
    return _add(b, example, x, y, alpha, kind="Sub")


@rule("aten.div.Tensor", "aten.div.Scalar")
def _div(b: Builder, example: Any, x: Any, y: Any) -> Any:
    return b.add("Div", b.cast(x, example.dtype), b.cast(y, example.dtype))


@rule("aten.remainder.Scalar", "aten.remainder.Tensor")
def _remainder(b: Builder, example: Any, x: Any, y: Any) -> Any:
    """Of the sign of the divisor, as Python's."""
    first, second = b.cast(x, example.dtype), b.cast(y, example.dtype)
    if not example.is_floating_point():
        return b.add("Mod", first, second)
    return b.add("Sub", first, b.add("Mul", second, b.add("Floor", b.add("Div", first, second))))


@rule("aten.pow.Tensor_Scalar", "aten.pow.Tensor_Tensor", "aten.pow.Scalar")
def _pow(b: Builder, example: Any, x: Any, y: Any) -> Any:
    return b.add("Pow", b.cast(x, example.dtype), b.cast(y, example.dtype))


@rule("addcmul")
def _addcmul(b: Builder, example: Any, x: Known, y: Known, z: Known, *, value: float = 1) -> Any:
    product = b.add("Mul", b.cast(y, example.dtype), b.cast(z, example.dtype))
    if value != 1:
        product = b.add("Mul", product, b.constant(value, example.dtype))
    return b.add("Add", b.cast(x, example.dtype), product)


@rule("aten.where.self")
def _where(b: Builder, example: Any, chosen: Known, x: Any, y: Any) -> Any:
    return b.add("Where", b.cast(chosen, torch.bool), b.cast(x, example.dtype), b.cast(y, example.dtype))


# ------------------------------------------------------------------------------------- products


@rule("linear")
def _linear(b: Builder, _: Any, x: Known, weight: Known, bias: Known | None = None) -> Any:
    if x.rank == 2 and weight.rank == 2:
        return b.add("Gemm", x.name, weight.name, bias.name if bias else None, transB=1)
    turned = b.add("Transpose", weight.name, perm=[1, 0]) if weight.rank == 2 else weight.name
    product = b.add("MatMul", x.name, turned)
    return b.add("Add", product, bias.name) if bias else product


@rule("matmul", "bmm", "mm")
def _matmul(b: Builder, _: Any, x: Known, y: Known) -> Any:
    return b.add("MatMul", x.name, y.name)


@rule("baddbmm", "addmm")
def _baddbmm(b: Builder, example: Any, x: Known, y: Known, z: Known, *, beta: float = 1, alpha: float = 1) -> Any:
    if x.rank == y.rank == z.rank == 2:
        return b.add("Gemm", y.name, z.name, x.name, alpha=float(alpha), beta=float(beta))
    product, added = b.add("MatMul", y.name, z.name), x.name
    if alpha != 1:
        product = b.add("Mul", product, b.constant(alpha, example.dtype))
    if beta != 1:
        added = b.add("Mul", added, b.constant(beta, example.dtype))
    return b.add("Add", product, added)


@rule("convolution")
def _convolution(
    b: Builder,
    example: Any,
    x: Known,
    weight: Known,
    bias: Known | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    _: list[int],
    groups: int,
) -> Any:
    if transposed:
        raise TypeError("it is transposed")
    names = [x.name, weight.name] + ([bias.name] if bias else [])
    each = example.dim() - 2
    parts: dict[str, list[int]] = {"strides": stride, "dilations": dilation, "pads": padding}
    full: dict[str, Any] = {name: list(part) * each if len(part) == 1 else list(part) for name, part in parts.items()}
    full["pads"] *= 2  # before and behind
    return b.add("Conv", *names, group=groups, **full)


@rule("native_layer_norm")
def _layer_norm(
    b: Builder, _: Any, x: Known, shape: list[int], weight: Known | None, bias: Known | None, eps: float
) -> Any:
    scale = weight.name if weight else b.constant(torch.ones(shape).tolist(), x.dtype)
    shift = bias.name if bias else b.constant(torch.zeros(shape).tolist(), x.dtype)  # without one, ONNX Runtime crashes
    return b.add("LayerNormalization", x.name, scale, shift, axis=-len(shape), epsilon=eps), None, None


@rule("_native_batch_norm_legit_no_training")
def _batch_norm(
    b: Builder,
    example: Any,
    x: Known,
    weight: Known | None,
    bias: Known | None,
    mean: Known,
    variance: Known,
    _: float,
    eps: float,
) -> Any:
    size = mean.example.shape[0]
    scale = weight.name if weight else b.constant([1.0] * size, x.dtype)
    shift = bias.name if bias else b.constant([0.0] * size, x.dtype)
    return b.add("BatchNormalization", x.name, scale, shift, mean.name, variance.name, epsilon=eps), None, None


@rule("_softmax")
def _softmax(b: Builder, _: Any, x: Known, dim: int, half: bool, *, kind: str = "Softmax") -> Any:
    return b.add(kind, x.name, axis=dim)


@rule("_log_softmax")
def _log_softmax(b: Builder, example: Any, x: Known, dim: int, half: bool) -> Any:
    return _softmax(b, example, x, dim, half, kind="LogSoftmax")


# ------------------------------------------------------------------------------------- reductions


def _reduced(kind: str) -> Rule:
    def apply(b: Builder, example: Any, x: Known, dims: Any = None, keepdim: bool = False, **_: Any) -> Any:
        dims = [dims] if isinstance(dims, int) else dims
        axes = b.constant(list(dims), torch.int64) if dims else None
        return b.add(kind, b.cast(x, example.dtype), axes, keepdims=int(keepdim))

    return apply


OPERATORS |= {
    "aten.sum.dim_IntList": _reduced("ReduceSum"),
    "aten.sum.default": _reduced("ReduceSum"),
    "aten.mean.dim": _reduced("ReduceMean"),
    "aten.mean.default": _reduced("ReduceMean"),
    "aten.amax.default": _reduced("ReduceMax"),
    "aten.amin.default": _reduced("ReduceMin"),
    "aten.prod.dim_int": _reduced("ReduceProd"),
}


@rule("aten.any.dim", "aten.any.dims", "aten.any.default")
def _any(b: Builder, _: Any, x: Known, dims: Any = None, keepdim: bool = False) -> Any:
    dims = [dims] if isinstance(dims, int) else dims
    axes = b.constant(list(dims), torch.int64) if dims else None
    counted = b.to(b.cast(x, torch.bool), torch.int32)
    return b.to(b.add("ReduceSum", counted, axes, keepdims=int(keepdim)), torch.bool)


@rule("argmax")
def _argmax(
    b: Builder, _: Any, x: Known, dim: int | None = None, keepdim: bool = False, *, kind: str = "ArgMax"
) -> Any:
    if dim is None:
        raise TypeError("over all dimensions")
    return b.add(kind, x.name, axis=dim, keepdims=int(keepdim))


@rule("argmin")
def _argmin(b: Builder, example: Any, x: Known, dim: int | None = None, keepdim: bool = False) -> Any:
    return _argmax(b, example, x, dim, keepdim, kind="ArgMin")


@rule("aten.max.dim")
def _max_dim(b: Builder, example: Any, x: Known, dim: int, keepdim: bool = False) -> Any:
    axes = b.constant([dim], torch.int64)
    return b.add("ReduceMax", x.name, axes, keepdims=int(keepdim)), _argmax(b, example, x, dim, keepdim)


@rule("cumsum")
def _cumsum(b: Builder, example: Any, x: Known, dim: int, **_: Any) -> Any:
    return b.add("CumSum", b.cast(x, example.dtype), b.constant(dim, torch.int64))


@rule("sort")
def _sort(b: Builder, example: Any, x: Known, dim: int = -1, descending: bool = False) -> Any:
    size = b.add("Gather", b.add("Shape", x.name), b.constant([_dim(dim, x.rank)], torch.int64))
    return b.add("TopK", x.name, size, results=2, axis=dim, largest=int(descending), sorted=1)


@rule("topk")
def _topk(b: Builder, _: Any, x: Known, k: Any, dim: int = -1, largest: bool = True, ordered: bool = True) -> Any:
    return b.add("TopK", x.name, b.ints([k]), results=2, axis=dim, largest=int(largest), sorted=int(ordered))


# ------------------------------------------------------------------------------------- shapes


@rule("view", "reshape", "aten._unsafe_view.default")
def _view(b: Builder, _: Any, x: Known, shape: list[Any]) -> Any:
    return b.add("Reshape", x.name, b.ints(shape), allowzero=1)


@rule("permute")
def _permute(b: Builder, _: Any, x: Known, dims: list[int]) -> Any:
    return b.add("Transpose", x.name, perm=[_dim(d, x.rank) for d in dims])


@rule("unsqueeze")
def _unsqueeze(b: Builder, _: Any, x: Known, dim: int) -> Any:
    return b.add("Unsqueeze", x.name, b.constant([dim], torch.int64))


@rule("aten.squeeze.dims", "aten.squeeze.dim")
def _squeeze(b: Builder, _: Any, x: Known, dims: Any) -> Any:
    """What is larger than 1 torch passes over; the example's rows and steps are never 1 by chance."""
    axes = [d for d in ([dims] if isinstance(dims, int) else dims) if x.example.shape[d] == 1]
    return b.add("Squeeze", x.name, b.constant(axes, torch.int64)) if axes else x.name


@rule("expand")
def _expand(b: Builder, _: Any, x: Known, shape: list[Any]) -> Any:
    return b.add("Expand", x.name, b.ints([1 if type(s) is int and s == -1 else s for s in shape]))


@rule("repeat")
def _tile(b: Builder, _: Any, x: Known, times: list[Any]) -> Any:
    name = x.name
    for _ in range(len(times) - x.rank):
        name = b.add("Unsqueeze", name, b.constant([0], torch.int64))
    return b.add("Tile", name, b.ints(times))


@rule("cat")
def _cat(b: Builder, example: Any, parts: list[Known], dim: int = 0) -> Any:
    kept = [p for p in parts if p.rank == example.dim()]
    return b.add("Concat", *(b.cast(p, example.dtype) for p in kept), axis=dim)


@rule("stack")
def _stack(b: Builder, example: Any, parts: list[Known], dim: int = 0) -> Any:
    axis = b.constant([_dim(dim, example.dim())], torch.int64)
    return b.add("Concat", *(b.add("Unsqueeze", b.cast(p, example.dtype), axis) for p in parts), axis=dim)


@rule("split_with_sizes")
def _split(b: Builder, _: Any, x: Known, sizes: list[Any], dim: int = 0) -> Any:
    if len(sizes) == 1:
        return (x.name,)
    return b.add("Split", x.name, b.ints(sizes), results=len(sizes), axis=dim)


@rule("aten.slice.Tensor")
def _slice(b: Builder, _: Any, x: Known, dim: int = 0, start: Any = None, end: Any = None, step: Any = 1) -> Any:
    start, end = 0 if start is None else start, 2**63 - 1 if end is None else end
    return b.add("Slice", x.name, b.ints([start]), b.ints([end]), b.constant([dim], torch.int64), b.ints([step]))


@rule("aten.select.int")
def _select(b: Builder, _: Any, x: Known, dim: int, index: Any) -> Any:
    return b.add("Gather", x.name, b.scalar(index), axis=dim)


@rule("constant_pad_nd")
def _pad(b: Builder, example: Any, x: Known, pad: list[Any], value: float = 0.0) -> Any:
    half = len(pad) // 2
    before, behind = pad[::2][::-1], pad[1::2][::-1]
    axes = b.constant(list(range(x.rank - half, x.rank)), torch.int64)
    return b.add("Pad", x.name, b.ints([*before, *behind]), b.constant(value, example.dtype), axes)


@rule("aten.sym_size.int")
def _size(b: Builder, _: Any, x: Known, dim: int) -> Any:
    return b.add("Gather", b.add("Shape", x.name), b.constant(_dim(dim, x.rank), torch.int64))


# ------------------------------------------------------------------------------------- made of nothing


@rule("full", "zeros")
def _full(b: Builder, example: Any, shape: list[Any], value: Any = 0, **_: Any) -> Any:
    return b.add("Expand", b.cast(value, example.dtype), b.ints(shape)) if shape else b.cast(value, example.dtype)


@rule("full_like", "zeros_like")
def _full_like(b: Builder, example: Any, x: Known, value: Any = 0, **_: Any) -> Any:
    return b.add("Expand", b.cast(value, example.dtype), b.add("Shape", x.name))


@rule("ones")
def _ones(b: Builder, example: Any, shape: list[Any], **_: Any) -> Any:
    return _full(b, example, shape, 1)


@rule("ones_like")
def _ones_like(b: Builder, example: Any, x: Known, **_: Any) -> Any:
    return _full_like(b, example, x, 1)


@rule("scalar_tensor")
def _scalar(b: Builder, example: Any, value: Any, **_: Any) -> Any:
    return b.cast(value, example.dtype)


@rule("aten.arange.start_step")
def _arange(b: Builder, example: Any, start: Any, end: Any, step: Any = 1, **_: Any) -> Any:
    return b.add("Range", *(b.cast(v, example.dtype) for v in (start, end, step)))


# ------------------------------------------------------------------------------------- rows by number


@rule("index_select")
def _index_select(b: Builder, _: Any, x: Known, dim: int, index: Known) -> Any:
    return b.add("Gather", x.name, index.name, axis=dim)


@rule("gather")
def _gather(b: Builder, _: Any, x: Known, dim: int, index: Known) -> Any:
    return b.add("GatherElements", x.name, index.name, axis=dim)


def _rows(b: Builder, index: Known) -> Any:
    """Numbers of rows, (n, 1)."""
    if index.dtype == torch.bool:
        return b.add("Transpose", b.add("NonZero", index.name), perm=[1, 0])
    return b.add("Unsqueeze", b.cast(index, torch.int64), b.constant([index.rank], torch.int64))


@rule("index_add")
def _index_add(b: Builder, example: Any, x: Known, dim: int, index: Known, source: Known, *, alpha: float = 1) -> Any:
    if dim:
        raise TypeError(f"along dimension {dim}")
    added = source.name if alpha == 1 else b.add("Mul", source.name, b.constant(alpha, example.dtype))
    return b.add("ScatterND", x.name, _rows(b, index), added, reduction="add")


@rule("index_put")
def _index_put(b: Builder, example: Any, x: Known, index: list[Any], values: Known, accumulate: bool = False) -> Any:
    if len(index) != 1 or index[0] is None or index[0].rank != 1:
        raise TypeError("at other places than rows")
    rows = _rows(b, index[0])
    count = b.add("Shape", rows, start=0, end=1)
    shape = b.add("Concat", count, b.add("Shape", x.name, start=1), axis=0)
    return b.add(
        "ScatterND", x.name, rows, b.add("Expand", values.name, shape), reduction="add" if accumulate else "none"
    )


@rule("aten.scatter.src", "aten.scatter.value")
def _scatter(b: Builder, example: Any, x: Known, dim: int, index: Known, source: Any) -> Any:
    name = b.cast(source, example.dtype)
    if getattr(source, "rank", 0) == 0:
        name = b.add("Expand", name, b.add("Shape", index.name))
    return b.add("ScatterElements", x.name, index.name, name, axis=dim)


@rule("aten.scatter_reduce.two")
def _scatter_reduce(
    b: Builder, example: Any, x: Known, dim: int, index: Known, source: Known, kind: str, *, include_self: bool = True
) -> Any:
    neutral = {"amax": -math.inf, "amin": math.inf, "sum": 0.0, "prod": 1.0}
    if kind not in neutral or not example.is_floating_point():
        raise TypeError(f"by {kind} of {example.dtype}")
    start = x.name if include_self else _scatter(b, example, x, dim, index, neutral[kind])
    reduction = {"amax": "max", "amin": "min", "sum": "add", "prod": "mul"}[kind]
    return b.add("ScatterElements", start, index.name, source.name, axis=dim, reduction=reduction)


@rule("nonzero")
def _nonzero(b: Builder, _: Any, x: Known) -> Any:
    return b.add("Transpose", b.add("NonZero", x.name), perm=[1, 0])


@rule("_local_scalar_dense")
def _number(b: Builder, example: Any, x: Known) -> Any:
    wanted = {bool: torch.bool, int: torch.int64, float: torch.float64}[type(example)]
    return b.add("Reshape", b.cast(x, wanted), b.constant([], torch.int64))


# ------------------------------------------------------------------------------------- sizes


@rule("getitem")
def _getitem(b: Builder, _: Any, x: Known, place: int) -> Any:
    name = x.name[place]
    if name is None:
        raise TypeError("of a result that nobody reads")
    return name


def _of_sizes(kind: str) -> Rule:
    def apply(b: Builder, example: Any, x: Any, y: Any) -> Any:
        dtype = torch.int64 if isinstance(example, int) else torch.float64
        return b.add(kind, b.cast(x, dtype), b.cast(y, dtype))

    return apply


OPERATORS |= {
    "add": _of_sizes("Add"),
    "sub": _of_sizes("Sub"),
    "mul": _of_sizes("Mul"),
    "truediv": _of_sizes("Div"),
    "mod": _of_sizes("Mod"),
    "sym_max": _of_sizes("Max"),
    "sym_min": _of_sizes("Min"),
}


@rule("floordiv")
def _floordiv(b: Builder, example: Any, x: Any, y: Any) -> Any:
    """Rounds down; ONNX rounds towards 0."""
    if not isinstance(example, int):
        raise TypeError("of floats")
    first, second = b.scalar(x), b.scalar(y)
    return b.add("Div", b.add("Sub", first, b.add("Mod", first, second)), second)


@rule("neg")
def _neg(b: Builder, _: Any, x: Known) -> Any:
    return b.add("Neg", x.name)


@rule("sym_int", "sym_float")
def _as_number(b: Builder, example: Any, x: Known) -> Any:
    return b.cast(x, torch.int64 if isinstance(example, int) else torch.float64)
