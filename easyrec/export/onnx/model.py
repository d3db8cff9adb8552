"""A stored program becomes an ONNX model, call by call, for any number of rows and steps."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from easyrec.errors import RunError
from easyrec.export.calls import REPEAT, Body, Call, Program, Value
from easyrec.export.onnx.operators import OPERATORS
from easyrec.export.onnx.session import OUTPUT
from easyrec.export.onnx.sums import multiply_sums
from easyrec.export.operators import find

OPSET, IR = 20, 9
"""What ONNX Runtime reads since 1.17."""
TYPES = {
    torch.float32: TensorProto.FLOAT,
    torch.float64: TensorProto.DOUBLE,
    torch.float16: TensorProto.FLOAT16,
    torch.int64: TensorProto.INT64,
    torch.int32: TensorProto.INT32,
    torch.int16: TensorProto.INT16,
    torch.int8: TensorProto.INT8,
    torch.uint8: TensorProto.UINT8,
    torch.bool: TensorProto.BOOL,
}
PYTHON = {bool: torch.bool, int: torch.int64, float: torch.float64}


class Known(NamedTuple):
    """A value of the program: what the model calls it, and what it is for the example's rows."""

    name: Any  # a name, or one per result of a call that has several
    example: Any

    @property
    def dtype(self) -> torch.dtype:
        """Its type; numbers of Python are kept as scalars."""
        return self.example.dtype if isinstance(self.example, Tensor) else PYTHON[type(self.example)]

    @property
    def rank(self) -> int:
        """How many dimensions it has."""
        return self.example.dim() if isinstance(self.example, Tensor) else 0


class Unknown(Exception):  # noqa: N818 (no error where it ends: the bundle lacks this runtime)
    """ONNX has nothing for a call."""


class Builder:
    """Nodes of a graph, and the weights and constants of the whole model."""

    def __init__(self, outer: Builder | None = None) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = outer.weights if outer else []
        self._constants: dict[Any, str] = outer._constants if outer else {}
        self._count: list[int] = outer._count if outer else [0]

    def new(self) -> str:
        """A name that no other value has."""
        self._count[0] += 1
        return f"v{self._count[0]}"

    def add(self, kind: str, *inputs: str | None, results: int = 1, **attributes: Any) -> Any:
        """A node; the name of its result, or a tuple of names where it has several."""
        names = [self.new() for _ in range(results)]
        given = ["" if name is None else name for name in inputs]
        while given and not given[-1]:
            given.pop()
        self.nodes.append(helper.make_node(kind, given, names, **attributes))
        return names[0] if results == 1 else tuple(names)

    def weight(self, name: str, tensor: Tensor) -> str:
        """A weight of the model."""
        if tensor.dtype not in TYPES:
            raise Unknown(f"a weight of type {tensor.dtype}")
        self.weights.append(numpy_helper.from_array(tensor.detach().contiguous().numpy(), name))
        return name

    def constant(self, value: Any, dtype: torch.dtype) -> str:
        """A number, or a list of numbers."""
        array = torch.tensor(value, dtype=dtype).numpy()
        key = (array.tobytes(), array.shape, dtype)
        if key not in self._constants:
            self._constants[key] = self.new()
            self.weights.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def cast(self, value: Any, dtype: torch.dtype) -> str:
        """A value or number as a type."""
        if not isinstance(value, Known):
            return self.constant(value, dtype)
        return str(value.name) if value.dtype == dtype else self.to(value.name, dtype)

    def to(self, name: str, dtype: torch.dtype) -> str:
        """What is called `name` as a type."""
        return str(self.add("Cast", name, to=self.type(dtype)))

    def type(self, dtype: torch.dtype) -> int:
        """What ONNX calls a type."""
        if dtype not in TYPES:
            raise Unknown(f"the type {dtype}")
        return int(TYPES[dtype])

    def same(self, *values: Any) -> tuple[list[str], torch.dtype]:
        """Values and numbers as the type that torch computes them in."""
        scalars = [v.example if isinstance(v, Known) else v for v in values]
        dtype = torch.result_type(*scalars)
        return [self.cast(v, dtype) for v in values], dtype

    def ints(self, values: Sequence[Any]) -> str:
        """Sizes, some of which are known at run time only, as one vector."""
        if not any(isinstance(v, Known) for v in values):
            return self.constant([int(v) for v in values], torch.int64)
        one = self.constant([1], torch.int64)
        parts = [
            self.add("Reshape", self.cast(v, torch.int64), one)
            if isinstance(v, Known)
            else self.constant([v], torch.int64)
            for v in values
        ]
        return str(self.add("Concat", *parts, axis=0))

    def scalar(self, value: Any) -> str:
        """An integer, known at run time or now."""
        return self.cast(value, torch.int64) if isinstance(value, Known) else self.constant(value, torch.int64)


def convert(program: Program, inputs: Mapping[str, Tensor]) -> onnx.ModelProto:
    """The model of a program.

    Args:
        program: What it computes.
        inputs: Example inputs: they tell types and the number of dimensions, not sizes.

    Raises:
        RunError: A call has no counterpart in ONNX; names it.
    """
    builder = Builder()
    values = [Known(name, inputs[name]) for name in program.inputs]
    given = [
        helper.make_tensor_value_info(
            v.name, TYPES[v.dtype], [f"{v.name}.size"] + [int(n) for n in v.example.shape[1:]]
        )
        for v in values
    ]
    values += [Known(builder.weight(f"w.{name}", tensor), tensor) for name, tensor in program.weights.items()]
    with torch.inference_mode():
        _emit(builder, program.calls, values)
    results = []
    for name, number in program.outputs.items():
        found = values[number]
        builder.nodes.append(helper.make_node("Identity", [builder.cast(found, torch.float32)], [OUTPUT + name]))
        shape = [f"{OUTPUT}{name}.size"] + [int(n) for n in found.example.shape[1:]]
        results.append(helper.make_tensor_value_info(OUTPUT + name, TensorProto.FLOAT, shape))
    graph = helper.make_graph(builder.nodes, "program", given, results, builder.weights)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR, producer_name="easyrec"
    )
    multiply_sums(model)
    onnx.checker.check_model(model)
    return model


def _emit(builder: Builder, calls: Sequence[Call], values: list[Known]) -> None:
    """Add the nodes of some calls, and their results to `values`."""
    for call in calls:
        args, kwargs = [_known(a, values) for a in call.args], dict(call.kwargs)
        try:
            if call.operator == REPEAT:
                values.append(_repeat(builder, *args))
                continue
            example = find(call.operator)(*(_example(a) for a in args), **kwargs)
            kwargs.pop("memory_format", None)
            rule: Callable[..., Any] | None = OPERATORS.get(call.operator)
            if rule is None:
                raise Unknown("no operator")
            values.append(Known(rule(builder, example, *args, **kwargs), example))
        except (Unknown, TypeError) as error:
            raise RunError(f"ONNX has nothing for the call '{call.operator}': {error}") from error


def _repeat(builder: Builder, turns: Known, carried: list[Known], given: list[Known], body: Body) -> Known:
    """A loop: the carried values enter each turn, the given ones are seen from outside."""
    inner = Builder(builder)
    turn, going = inner.new(), inner.new()
    entering = [Known(inner.new(), value.example) for value in carried]
    values = [*entering, *given]
    _emit(inner, body.calls, values)
    leaving = [values[number] for number in body.results]
    names = [
        inner.add("Identity", inner.cast(found, before.dtype)) for found, before in zip(leaving, carried, strict=True)
    ]
    goes_on = inner.add("Identity", going)
    graph = helper.make_graph(
        inner.nodes,
        inner.new(),
        [
            helper.make_tensor_value_info(turn, TensorProto.INT64, []),
            helper.make_tensor_value_info(going, TensorProto.BOOL, []),
            *(helper.make_tensor_value_info(v.name, TYPES[v.dtype], [None] * v.rank) for v in entering),
        ],
        [
            helper.make_tensor_value_info(goes_on, TensorProto.BOOL, []),
            *(
                helper.make_tensor_value_info(n, TYPES[v.dtype], [None] * v.rank)
                for n, v in zip(names, carried, strict=True)
            ),
        ],
    )
    start = [v.name for v in carried]
    found = builder.add("Loop", builder.scalar(turns), None, *start, results=len(carried) or 1, body=graph)
    return Known(found if isinstance(found, tuple) else (found,), tuple(v.example for v in leaving))


def _known(argument: Any, values: Sequence[Known]) -> Any:
    if isinstance(argument, Value):
        return values[argument.number]
    return [_known(a, values) for a in argument] if isinstance(argument, list) else argument


def _example(argument: Any) -> Any:
    if isinstance(argument, Known):
        return argument.example
    return [_example(a) for a in argument] if isinstance(argument, list) else argument


def quantize(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the weights of its matrix products in int8; activations are rounded as they come.

    Raises:
        RunError: There is nothing to round, or ONNX Runtime cannot.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415 (an extra; slow to import)

    helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})  # there is nothing to prepare
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        try:
            quantize_dynamic(model, path, weight_type=QuantType.QInt8, per_channel=True)
        except (ValueError, RuntimeError, KeyError, AttributeError) as error:
            raise RunError(f"ONNX Runtime cannot round the model to int8: {error}") from error
        found = onnx.load(path)
    if not any(node.op_type == "MatMulInteger" for node in found.graph.node):
        raise RunError("the model has no product of a matrix of weights to compute in int8")
    return found
