"""Capturing the dense part of a model: torch.export with any number of rows and steps, as a list of calls."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, default_decompositions, export
from torch.export.graph_signature import InputKind, OutputKind

from easyrec.batch import Embedded
from easyrec.errors import RunError
from easyrec.export.calls import REPEAT, Body, Call, Program, Value
from easyrec.export.operators import KEPT, PYTHON, allowed, find
from easyrec.layout import GroupLayout

_OPERATORS: dict[Any, str] = {
    **{function: name for name, function in PYTHON.items()},
    torch.sym_max: "sym_max",
    torch.sym_min: "sym_min",
    torch.sym_int: "sym_int",
    torch.sym_float: "sym_float",
}
Predict: TypeAlias = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]
"""Predictions by task from the logits of a model."""

EXAMPLE_ROWS = 7
_IGNORED = {"device", "layout", "pin_memory", "non_blocking"}


@dataclass(frozen=True)
class Captured:
    """A captured model.

    Attributes:
        program: What torch.export made; its inputs are positional, in the order of `inputs`.
        inputs: Keys of the flat dict of embedded inputs.
        outputs: Names of the results: the tasks.
    """

    program: ExportedProgram
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class _Dense(nn.Module):
    """The model over positional tensors, as torch.export wants it."""

    def __init__(
        self, model: nn.Module, predict: Predict, keys: tuple[str, ...], layouts: Mapping[str, GroupLayout]
    ) -> None:
        super().__init__()
        self.model, self.predict, self.keys, self.layouts = model, predict, keys, layouts

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        outputs = self.predict(self.model(Embedded(dict(zip(self.keys, tensors, strict=True)), self.layouts)))
        self.names = tuple(outputs)
        return tuple(outputs.values())


def export_program(
    model: nn.Module, layouts: Mapping[str, GroupLayout], predict: Predict = lambda logits: logits
) -> Captured:
    """Capture a model in evaluation mode; the numbers of rows and of sequence steps stay open, 0 and 1 included.

    Args:
        model: Takes an `Embedded`, returns logits by name.
        layouts: The groups that it reads.
        predict: What is made of the logits: link functions and corrections of the tasks.

    Raises:
        RunError: torch.export cannot capture the model, or the model fixes a number of rows or steps.
    """
    keys = tuple(key for layout in layouts.values() for key in layout.keys())  # noqa: SIM118 (not a dict)
    dense = _Dense(model, predict, keys, layouts)
    training = model.training
    dense.eval()
    try:
        inputs = tuple(example(layouts).values())
        dynamic = (tuple({0: Dim.DYNAMIC} for _ in keys),)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch's own, about its pytrees
            with _quiet():
                program = export(dense, inputs, dynamic_shapes=dynamic)
            _drop_dropout(program)
            program = program.run_decompositions(_decompositions())
    except (torch._dynamo.exc.TorchDynamoException, RuntimeError, ValueError, TypeError) as error:
        raise RunError(f"the model cannot be exported: {_reason(str(error), keys)}") from error
    finally:
        model.train(training)
    return Captured(program, keys, dense.names)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the graphs that torch prints where it fails: the error tells what matters."""
    logger = logging.getLogger("torch.fx.experimental.symbolic_shapes")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def to_calls(captured: Captured) -> Program:
    """The captured program as a list of calls.

    Raises:
        RunError: It needs something that a stored program cannot hold.
    """
    program, signature = captured.program, captured.program.graph_signature
    if any(spec.kind is not OutputKind.USER_OUTPUT for spec in signature.output_specs):
        raise RunError("the model cannot be exported: it changes its own buffers when it is evaluated")
    inputs, weights = [], {}
    for spec in signature.input_specs:
        if spec.kind is InputKind.USER_INPUT:
            inputs.append(spec.arg.name)
        else:
            assert spec.target is not None
            weights[spec.arg.name] = (spec.target, _weight(program, spec.target))
    nodes = list(program.graph.nodes)
    needed = _needed(nodes)
    weights = {node: weight for node, weight in weights.items() if node in needed}
    calls, results = _calls(program.graph_module, [*inputs, *weights])
    return Program(captured.inputs, dict(weights.values()), calls, dict(zip(captured.outputs, results, strict=True)))


def _calls(module: Any, given: list[str]) -> tuple[list[Call], list[int]]:
    """A graph as calls over values of these names, and the numbers of its results."""
    nodes = list(module.graph.nodes)
    needed = _needed(nodes)
    numbers = {name: number for number, name in enumerate(given)}
    calls: list[Call] = []
    for node in nodes:
        if node.op != "call_function" or node.name not in needed:
            continue
        if _takes_all(node):
            numbers[node.name] = numbers[node.args[0].name]
            continue
        numbers[node.name] = len(given) + len(calls)
        if node.target is torch.ops.higher_order.while_loop:
            calls.append(_repeated(module, node, numbers))
            continue
        kwargs = {k: _argument(v, numbers) for k, v in node.kwargs.items() if k not in _IGNORED}
        calls.append(Call(_operator(node.target), tuple(_argument(a, numbers) for a in node.args), kwargs))
    return calls, [numbers[result.name] for result in nodes[-1].args[0]]


def _repeated(module: Any, node: Any, numbers: Mapping[str, int]) -> Call:
    """A loop, as `easyrec.modules.repeat` writes it: what it carries first counts the turns from 0."""
    condition, body = (module.get_submodule(graph.target) for graph in node.args[:2])
    carried, given = node.args[2:]
    places, test = _parts(condition)
    names, (count, *_) = _parts(body)
    counted = _is(carried[0], torch.ops.aten.full.default, [], 0) and _is(count, torch.ops.aten.add.Tensor, names[0], 1)
    if not counted or not _is(test, torch.ops.aten.lt.Tensor, places[0]) or test.args[1] not in places:
        raise RunError("the model cannot be exported: it loops until something holds, not a number of turns")
    turns = given[places.index(test.args[1]) - len(carried)]
    calls, results = _calls(body, [n.name for n in names])
    arguments = [_argument(a, numbers) for a in (turns, carried, given)]
    return Call(REPEAT, (*arguments, Body(tuple(calls), tuple(results))), {})


def _parts(module: Any) -> tuple[list[Any], Any]:
    """The nodes that a graph is given, and those that it gives."""
    nodes = list(module.graph.nodes)
    return [n for n in nodes if n.op == "placeholder"], nodes[-1].args[0]


def _is(node: Any, target: Any, *args: Any) -> bool:
    """Whether a node calls `target` with these first arguments."""
    return node.target is target and list(node.args[: len(args)]) == list(args)


def example(layouts: Mapping[str, GroupLayout], rows: int = EXAMPLE_ROWS, steps: int = 31) -> dict[str, Tensor]:
    """Inputs of some rows, with sizes that no two dimensions share by chance, so that none is taken for another."""
    tensors: dict[str, Tensor] = {}
    for layout in layouts.values():
        widths = {
            "emb": layout.width,
            "first": layout.num_fields,
            "dense": layout.dense_width,
            "num": layout.numeric_width,
        }
        for key in layout.keys():  # noqa: SIM118 (not a dict)
            kind, _, rest = key.partition(":")
            if kind in widths:
                tensors[key] = torch.randn(rows, widths[kind])
            elif kind == "seq":
                steps += 2
                tensors[key] = torch.randn(steps, layout.sequence(rest.partition("/")[2]).dim)
            elif kind == "rows":
                tensors[key] = torch.arange(steps) * rows // steps
            else:
                counts = torch.bincount(torch.arange(steps) * rows // steps, minlength=rows)
                tensors[key] = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    return tensors


_FIXED = re.compile(r"L\['tensors'\]\[(\d+)\]\.size\(\)\[0\] as dynamic but your code specialized it .*?\((\d+)\)")


def _reason(text: str, keys: tuple[str, ...]) -> str:
    """What torch says, or in our words that a length was fixed."""
    fixed = [f"'{keys[int(number)]}' must have {length} rows" for number, length in _FIXED.findall(text)]
    if "data-dependent" in text:
        return "it branches on the numbers of a tensor: take torch.where, which computes both"
    return f"it works for one length only: {', '.join(fixed)}" if fixed else text.partition("\n\n")[0]


def _drop_dropout(program: ExportedProgram) -> None:
    """Dropout outside training is its input; as a decomposed copy it would cost time."""
    for node in list(program.graph.nodes):
        if node.target is torch.ops.aten.dropout.default and not node.args[2]:
            node.replace_all_uses_with(node.args[0])
            program.graph.erase_node(node)


@cache
def _decompositions() -> dict[Any, Any]:
    """Those of torch but for the operators that are kept; to collect them is a sixth of capturing a small model."""
    table = dict(default_decompositions())
    for name in KEPT:
        table.pop(find(name), None)
    return table


def _weight(program: ExportedProgram, name: str) -> Tensor:
    found = program.state_dict.get(name)
    if found is None:
        found = program.constants.get(name)
    if not isinstance(found, Tensor):
        raise RunError(f"the model cannot be exported: '{name}' is no tensor")
    return found.detach().cpu()


def _needed(nodes: list[Any]) -> set[str]:
    """Names of the nodes that the outputs depend on; checks and unused results are not among them."""
    needed: set[str] = set()
    for node in reversed(nodes):
        if node.op == "output" or node.name in needed:
            needed.update(n.name for n in node.all_input_nodes)
    return needed


def _takes_all(node: Any) -> bool:
    """Whether the node is `x[:]`, which torch.export writes for every `:` of an index."""
    return node.target is torch.ops.aten.slice.Tensor and tuple(node.args[2:]) == (0, sys.maxsize) and not node.kwargs


def _operator(target: Any) -> str:
    if target in _OPERATORS:
        return _OPERATORS[target]
    if isinstance(target, torch._ops.OpOverload) and target.namespace == "aten" and allowed(target):
        return str(target)
    raise RunError(f"the model cannot be exported: it calls '{target}', which a stored program may not call")


def _argument(value: Any, numbers: Mapping[str, int]) -> Any:
    if isinstance(value, torch.fx.Node):
        return Value(numbers[value.name])
    if isinstance(value, list | tuple):
        return [_argument(v, numbers) for v in value]
    if value is None or isinstance(value, bool | int | float | str | torch.dtype | torch.memory_format):
        return value
    if isinstance(value, torch.device | torch.layout):
        return None
    raise RunError(f"the model cannot be exported: a call has the argument {value!r}")
