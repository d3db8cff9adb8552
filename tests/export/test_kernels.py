"""Programs as steps of our kernels: any call that has a step gives what torch gives; damage never reaches memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from easyrec.errors import BundleError, RunError
from easyrec.export.calls import Call, Program, Value
from easyrec.export.kernels.native import Program as Steps
from easyrec.export.kernels.session import CONSTANTS, STEPS, Session
from easyrec.export.kernels.steps import write

ROWS = 300  # more than are computed at a time


def written(program: Program, example: dict[str, Tensor], folder: Path, *, rounded: bool = False) -> Session:
    folder.mkdir(exist_ok=True)
    write(program, example, folder, rounded=rounded)
    return Session(folder)


def inputs(rows: int, widths: dict[str, int]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {
        name: torch.randn(1 if name.startswith("user/") else rows, width, generator=generator)
        for name, width in widths.items()
    }


def captured(module: nn.Module, width: int) -> Program:
    """A module over `x` (rows, width) as a program."""
    exported = torch.export.export(
        module.eval(), (torch.randn(5, width),), dynamic_shapes=({0: torch.export.Dim("rows", min=2, max=4096)},)
    ).run_decompositions()
    numbers: dict[str, int] = {}
    names = {**exported.graph_signature.inputs_to_parameters, **exported.graph_signature.inputs_to_buffers}
    state = {**exported.state_dict, **dict(exported.named_buffers()), **exported.constants}
    weights: dict[str, Tensor] = {}
    placeholders = [node for node in exported.graph.nodes if node.op == "placeholder"]
    given = [node for node in placeholders if node.name not in names]
    for node in placeholders:
        if node.name in names:
            weights[node.name] = state[names[node.name]].detach()
    for number, node in enumerate([*given, *(n for n in placeholders if n.name in names)]):
        numbers[node.name] = number
    calls: list[Call] = []

    def told(argument):
        if isinstance(argument, torch.fx.Node):
            return Value(numbers[argument.name])
        return [told(a) for a in argument] if isinstance(argument, list | tuple) else argument

    for node in exported.graph.nodes:
        if node.op == "call_function":
            numbers[node.name] = len(given) + len(weights) + len(calls)
            name = "getitem" if node.target.__name__ == "getitem" else str(node.target)
            calls.append(Call(name, tuple(told(a) for a in node.args), {k: told(v) for k, v in node.kwargs.items()}))
    (output,) = (node for node in exported.graph.nodes if node.op == "output")
    return Program(["x"], weights, calls, {"y": numbers[output.args[0][0].name]})


class Of(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "neg": torch.neg,
    "square": torch.square,
    "power": lambda x: (x * x + 0.5) ** -0.5,
    "abs": torch.abs,
    "log": lambda x: torch.log(x.abs() + 0.1) + torch.log1p(x.abs()) + torch.sqrt(x.abs()) + torch.reciprocal(x),
    "exponential": lambda x: torch.exp(x * 20.0),
    "sigmoid": lambda x: torch.sigmoid(x * 30.0),
    "tanh": torch.tanh,
    "gates": lambda x: nn.functional.silu(x) + nn.functional.gelu(x) + nn.functional.leaky_relu(x, 0.2),
    "clamp": lambda x: torch.clamp(x, -0.5, 0.7),
    "two by two": lambda x: x * 3.0 - x / (x.abs() + 2.0) + torch.maximum(x, -x) + torch.minimum(x, x * x),
    "fields": lambda x: (x.view(-1, 6, 4) * torch.arange(4.0) + torch.arange(6.0)[:, None]).sum(1),
    "a field for each": lambda x: x.view(-1, 6, 4) * x.view(-1, 6, 4).mean(dim=2, keepdim=True),
    "factorization machine": lambda x: (x.view(-1, 6, 4).sum(1) ** 2 - (x.view(-1, 6, 4) ** 2).sum(1)).sum(1) * 0.5,
    "highest": lambda x: x.view(-1, 6, 4).amax(1) + x.view(-1, 6, 4).amin(1),
    "softmax": lambda x: torch.softmax(x.view(-1, 6, 4), dim=2).sum(1) + torch.softmax(x.view(-1, 6, 4), dim=1).sum(1),
    "norm": lambda x: nn.functional.layer_norm(x, [24], torch.arange(24.0), torch.ones(24)),
    "parts": lambda x: torch.cat([x[:, 3:7], x[:, -1:] * 2.0, x[:, :1]], dim=1),
    "turned": lambda x: x.view(-1, 6, 4).transpose(1, 2).reshape(-1, 24),
    "stacked": lambda x: torch.stack([x[:, :8], x[:, 8:16]], dim=2).flatten(1),
    "split": lambda x: torch.cat(x.split([5, 19], dim=1)[::-1], dim=1),
    "selected": lambda x: x.view(-1, 6, 4)[:, 2] + x.view(-1, 6, 4)[:, :, 1:2].sum(1),
    "one for all": lambda x: x.view(-1, 6, 4)[:, :1].expand(-1, 6, 4).reshape(-1, 24),
    "row by row": lambda x: torch.bmm(x.view(-1, 6, 4), x.view(-1, 4, 6)).flatten(1),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("rows", [0, 1, 7, ROWS])
def test_steps_compute_what_torch_does(function, rows, tmp_path):
    program = captured(Of(function), 24)
    session = written(program, inputs(5, {"x": 24}), tmp_path)
    given = inputs(rows, {"x": 24})
    found = session({"x": given["x"].numpy()})["y"]
    wanted = function(given["x"]).numpy()
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("k", [1, 5, 16, 33, 260])
@pytest.mark.parametrize("n", [1, 15, 16, 17, 32, 70])
def test_layers_of_any_size_compute_what_torch_does(k, n, tmp_path):
    module = nn.Sequential(nn.Linear(k, n), nn.BatchNorm1d(n), nn.ReLU(), nn.Linear(n, 3, bias=False), nn.ReLU())
    module[1].running_mean.normal_()
    module[1].running_var.uniform_(0.5, 2.0)
    session = written(captured(module, k), inputs(5, {"x": k}), tmp_path)
    for rows in (1, 11, 12, 13, ROWS):
        x = inputs(rows, {"x": k})["x"]
        with torch.no_grad():
            np.testing.assert_allclose(session({"x": x.numpy()})["y"], module(x).numpy(), rtol=2e-5, atol=2e-5)


def two_sides() -> tuple[Program, dict[str, Tensor]]:
    """A layer over the user's and the candidates' columns, and their sum."""
    generator = torch.Generator().manual_seed(1)
    weights = {name: torch.randn(size, generator=generator) for name, size in (("u", (8, 6)), ("i", (5, 8)), ("b", (8,)))}
    calls = [
        Call("aten.linear.default", (Value(0), Value(2), Value(4)), {}),
        Call("aten.addmm.default", (Value(5), Value(1), Value(3)), {}),
        Call("aten.relu.default", (Value(6),), {}),
        Call("aten.sum.dim_IntList", (Value(7), [1]), {}),
        Call("aten.sigmoid.default", (Value(8),), {}),
    ]
    return Program(["user/emb:a", "item/emb:a"], weights, calls, {"y": 9}), inputs(5, {"user/emb:a": 6, "item/emb:a": 5})


def test_what_is_the_same_for_all_candidates_is_computed_once(tmp_path):
    program, example = two_sides()
    session = written(program, example, tmp_path)
    described = json.loads((tmp_path / STEPS).read_bytes())
    once = {step["out"]: described["values"][step["out"]][0] for step in described["steps"]}
    assert list(once.values()) == [True, False, False, False]  # the ReLU is part of a product
    given = inputs(ROWS, {"user/emb:a": 6, "item/emb:a": 5})
    found = session({name: tensor.numpy() for name, tensor in given.items()})
    np.testing.assert_allclose(found["y"], program(given)["y"].numpy(), rtol=1e-6, atol=1e-6)


def test_rows_may_lie_apart(tmp_path):
    program, example = two_sides()
    session = written(program, example, tmp_path)
    given = inputs(20, {"user/emb:a": 6, "item/emb:a": 9})
    arrays = {"user/emb:a": given["user/emb:a"].numpy(), "item/emb:a": given["item/emb:a"].numpy()[:, 2:7]}
    dense = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    np.testing.assert_array_equal(session(arrays)["y"], session(dense)["y"])


def test_int8_is_near(tmp_path):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(70, 64), nn.ReLU(), nn.Linear(64, 33), nn.ReLU(), nn.Linear(33, 1), nn.Sigmoid())
    program, example = captured(module, 70), inputs(5, {"x": 70})
    session = written(program, example, tmp_path, rounded=True)
    steps = json.loads((tmp_path / STEPS).read_bytes())["steps"]
    assert [step["rounded"] for step in steps if step["kind"] == "product"] == [True, True, False]
    x = inputs(ROWS, {"x": 70})["x"]
    with torch.no_grad():
        error = np.abs(session({"x": x.numpy()})["y"] - module(x).numpy()).max()
    assert 0.0 < error < 0.01


def test_one_large_number_that_hardly_counts_takes_no_precision_of_others_in_int8(tmp_path):
    torch.manual_seed(0)
    layer = nn.Linear(64, 32)
    with torch.no_grad():
        layer.weight[:, 0] *= 1e-4
    session = written(captured(layer, 64), inputs(5, {"x": 64}), tmp_path, rounded=True)
    x = inputs(50, {"x": 64})["x"]
    x[:, 0] *= 1e4
    with torch.no_grad():
        wanted = layer(x)
        error = (torch.from_numpy(session({"x": x.numpy()})["y"]) - wanted).norm() / wanted.norm()
    assert error < 0.02


def test_what_knows_other_rows_is_refused(tmp_path):
    for function in (lambda x: x - x.mean(0), lambda x: x.cumsum(1)):
        with pytest.raises(RunError, match="the kernels have nothing for the call 'aten"):
            write(captured(Of(function), 4), inputs(5, {"x": 4}), tmp_path, rounded=False)


def test_an_input_of_another_shape_is_told(tmp_path):
    program, example = two_sides()
    session = written(program, example, tmp_path)
    arrays = {name: tensor.numpy() for name, tensor in example.items()}
    for wrong in (
        arrays | {"item/emb:a": arrays["item/emb:a"][:, :4]},
        arrays | {"user/emb:a": arrays["item/emb:a"]},
        arrays | {"item/emb:a": arrays["item/emb:a"].astype(np.float64)},
        {"item/emb:a": arrays["item/emb:a"]},
    ):
        with pytest.raises(BundleError, match="cannot be run"):
            session(wrong)


def broken(change: Callable[[dict], object], folder: Path) -> None:
    program, example = two_sides()
    written(program, example, folder)
    described = json.loads((folder / STEPS).read_bytes())
    change(described)
    (folder / STEPS).write_text(json.dumps(described))
    Session(folder)


BROKEN: dict[str, Callable[[dict], object]] = {
    "a width": lambda d: d["values"][1].__setitem__(1, 4),
    "no width": lambda d: d["values"][-1].__setitem__(1, 0),
    "a value that is none": lambda d: d["steps"][0].update(x=99),
    "a negative value": lambda d: d["steps"][0].update(x=-2),
    "a value from later on": lambda d: d["steps"][0].update(x=d["steps"][-1]["out"]),
    "an input that is made": lambda d: d["steps"][0].update(out=0),
    "a place": lambda d: d["steps"][0].update(x_at=1),
    "a huge place": lambda d: d["steps"][0].update(x_at=2**63),
    "a size": lambda d: d["steps"][0].update(sizes=[6, 9, 1]),
    "a huge size": lambda d: d["steps"][2].update(sizes=[1, 2**40, 2**40]),
    "no size": lambda d: d["steps"][2].update(sizes=[1, 0, 1]),
    "a matrix": lambda d: d["steps"][0].update(matrix=0),
    "what is added": lambda d: d["steps"][1].update(added_at=1),
    "a kind": lambda d: d["steps"][0].update(kind="loop"),
    "a name": lambda d: d["steps"][-1].update(name="system"),
    "a row of each as one for all": lambda d: d["values"][d["steps"][-1]["out"]].__setitem__(0, True),
    "an output": lambda d: d["outputs"]["y"].update(value=99),
    "constants": lambda d: d["constants"].pop(),
    "a format": lambda d: d.update(format=2),
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_steps_that_reach_beyond_their_values_are_refused(change, tmp_path):
    with pytest.raises(BundleError, match="is damaged|of format"):
        broken(change, tmp_path)


def test_constants_of_another_type_are_refused(tmp_path):
    program, example = two_sides()
    written(program, example, tmp_path)
    np.save(tmp_path / CONSTANTS, np.load(tmp_path / CONSTANTS).astype(np.float64))
    with pytest.raises(BundleError, match="other constants"):
        Session(tmp_path)


def test_copies_must_stay_inside_their_values():
    values = [(False, 4), (False, 4)]
    step = {"kind": "copy", "out": 1, "x": 0, "sizes": [1, 1, 4], "x_steps": [0, 0, 1], "out_steps": [0, 0, 1]}
    assert Steps(values, 1, [], [step], [1]).run([np.ones((2, 4), np.float32)], 2)[0].tolist() == [[1.0] * 4] * 2
    for wrong in ({"out_at": 1}, {"x_at": 1}, {"x_steps": [0, 0, 2]}, {"out_steps": [0, 0, 2]}, {"sizes": [2, 1, 4], "out_steps": [1, 0, 1]}):
        with pytest.raises(ValueError, match="reaches beyond"):
            Steps(values, 1, [], [step | wrong], [1])
