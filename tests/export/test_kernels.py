"""Programs as steps of our kernels: any call that has a step gives what torch gives; damage never reaches memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

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


def chain(*calls: tuple[Any, ...], **weights: Tensor) -> Program:
    """Calls over `x`, which is value 0; weights follow, then the result of each call; the last one is the output."""
    first = 1 + len(weights)
    made = [Call(name if name == "getitem" else f"aten.{name}", tuple(args), {}) for name, *args in calls]
    return Program(["x"], weights, made, {"y": first + len(calls) - 1})


torch.manual_seed(0)
V = Value
FIELDS = ("view.default", V(0), [-1, 6, 4])
PROGRAMS = {
    **{
        name: chain((f"{name}.default", V(0)))
        for name in ("relu", "neg", "square", "abs", "tanh", "exp", "sigmoid", "gelu", "reciprocal", "clone")
    },
    "large": chain(("mul.Tensor", V(0), 60.0), ("exp.default", V(1))),
    "small probabilities": chain(("mul.Tensor", V(0), 30.0), ("sigmoid.default", V(1))),
    "roots": chain(
        ("abs.default", V(0)),
        ("sqrt.default", V(1)),
        ("log1p.default", V(2)),
        ("add.Tensor", V(3), 0.1),
        ("log.default", V(4)),
        ("square.default", V(5)),
        ("add.Scalar", V(6), 0.5),
        ("rsqrt.default", V(7)),
    ),
    "leaky": chain(("leaky_relu.default", V(0), 0.2)),
    "clamp": chain(("clamp.default", V(0), -0.5, 0.7)),
    "clamp below": chain(("clamp.default", V(0), None, 0.7)),
    "power": chain(("pow.Tensor_Scalar", V(0), 2)),
    "two by two": chain(
        ("sub.Tensor", V(0), 0.25),
        ("div.Tensor", V(1), 3.0),
        ("maximum.default", V(0), V(1)),
        ("minimum.default", V(2), V(3)),
        ("mul.Tensor", V(4), V(0)),
    ),
    "weights over fields": chain(
        FIELDS,
        ("mul.Tensor", V(3), V(1)),
        ("add.Tensor", V(4), V(2)),
        ("sum.dim_IntList", V(5), [1]),
        dims=torch.arange(4.0),
        fields=torch.arange(6.0)[:, None],
    ),
    "a weight for each row's field": chain(
        FIELDS, ("mean.dim", V(1), [2], True), ("mul.Tensor", V(1), V(2)), ("sum.dim_IntList", V(3), [1, 2])
    ),
    "factorization machine": chain(
        FIELDS,
        ("sum.dim_IntList", V(1), [1]),
        ("square.default", V(2)),
        ("square.default", V(1)),
        ("sum.dim_IntList", V(4), [1]),
        ("sub.Tensor", V(3), V(5)),
        ("sum.dim_IntList", V(6), [1], True),
    ),
    "extremes": chain(
        FIELDS, ("amax.default", V(1), [1]), ("amin.default", V(1), [2]), ("cat.default", [V(2), V(3)], 1)
    ),
    "softmax": chain(FIELDS, ("_softmax.default", V(1), 2, False), ("_softmax.default", V(2), 1, False)),
    "norm": chain(
        ("native_layer_norm.default", V(0), [24], V(1), V(2), 1e-5),
        ("getitem", V(3), 0),
        scale=torch.arange(24.0),
        shift=torch.ones(24),
    ),
    "batch norm": chain(
        ("_native_batch_norm_legit_no_training.default", V(0), V(1), V(2), V(3), V(4), 0.1, 1e-5),
        ("getitem", V(5), 0),
        scale=torch.arange(24.0),
        shift=torch.ones(24),
        mean=torch.arange(24.0) / 12,
        variance=torch.arange(24.0) + 0.5,
    ),
    "parts": chain(
        ("slice.Tensor", V(0), 1, 3, 7),
        ("slice.Tensor", V(0), 1, -1, 1 << 62),
        ("square.default", V(2)),
        ("cat.default", [V(1), V(3), V(0)], 1),
    ),
    "a part as it is": chain(("slice.Tensor", V(0), 1, 3, 7)),
    "turned": chain(FIELDS, ("permute.default", V(1), [0, 2, 1]), ("mul.Tensor", V(2), 2.0)),
    "stacked": chain(
        ("slice.Tensor", V(0), 1, 0, 8), ("slice.Tensor", V(0), 1, 8, 16), ("stack.default", [V(1), V(2)], 2)
    ),
    "split": chain(
        ("split_with_sizes.default", V(0), [5, 19], 1),
        ("getitem", V(1), 0),
        ("getitem", V(1), 1),
        ("cat.default", [V(3), V(2)], -1),
    ),
    "selected": chain(FIELDS, ("select.int", V(1), 1, -2), ("select.int", V(1), 2, 1), ("neg.default", V(3))),
    "as many as rows": chain(
        ("sym_size.int", V(0), 0), ("unsqueeze.default", V(0), 1), ("expand.default", V(2), [V(1), 3, 24])
    ),
    "each field with each": chain(
        FIELDS, ("permute.default", V(1), [0, 2, 1]), ("bmm.default", V(1), V(2)), ("relu.default", V(3))
    ),
    "a layer over fields": chain(
        FIELDS, ("linear.default", V(3), V(1), V(2)), ("relu.default", V(4)), w=torch.randn(5, 4), b=torch.randn(5)
    ),
    "a layer over a part": chain(
        ("slice.Tensor", V(0), 1, 5, 9), ("linear.default", V(2), V(1)), ("add.Tensor", V(3), V(3)), w=torch.randn(7, 4)
    ),
    "what is added to a layer": chain(
        ("linear.default", V(0), V(1)), ("relu.default", V(0)), ("add.Tensor", V(3), V(2)), w=torch.randn(24, 24)
    ),
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_steps_compute_what_torch_does(program, tmp_path):
    session = written(program, inputs(5, {"x": 24}), tmp_path)
    for rows in (0, 1, 7, ROWS):
        given = inputs(rows, {"x": 24})
        found, wanted = session({"x": given["x"].numpy()})["y"], program(given)["y"].numpy()
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, rtol=3e-6, atol=3e-6)


def layers(*widths: int) -> Program:
    """Layers of these widths, each but the last one with a ReLU."""
    generator = torch.Generator().manual_seed(5)
    weights: dict[str, Tensor] = {}
    for number, (k, n) in enumerate(pairwise(widths)):
        weights |= {
            f"w{number}": torch.randn(n, k, generator=generator) / k**0.5,
            f"b{number}": torch.randn(n, generator=generator),
        }
    calls: list[tuple[Any, ...]] = []
    for number in range(len(widths) - 1):
        at = len(weights) + len(calls)
        calls.append(("linear.default", V(at if number else 0), V(1 + 2 * number), V(2 + 2 * number)))
        calls.append(("relu.default", V(at + 1)))
    return chain(*calls[:-1], **weights)


def test_layers_of_any_size_compute_what_torch_does(tmp_path):
    for k, n in product((1, 5, 16, 33, 260), (1, 15, 16, 17, 32, 70)):
        program = layers(k, n, 3)
        session = written(program, inputs(5, {"x": k}), tmp_path)
        for rows in (1, 11, 12, 13, ROWS):
            given = inputs(rows, {"x": k})
            np.testing.assert_allclose(
                session({"x": given["x"].numpy()})["y"], program(given)["y"].numpy(), rtol=2e-5, atol=2e-5
            )


def two_sides() -> tuple[Program, dict[str, Tensor]]:
    """A layer over the user's and the candidates' columns, and their sum."""
    generator = torch.Generator().manual_seed(1)
    weights = {
        name: torch.randn(size, generator=generator) for name, size in (("u", (8, 6)), ("i", (5, 8)), ("b", (8,)))
    }
    calls = [
        Call("aten.linear.default", (Value(0), Value(2), Value(4)), {}),
        Call("aten.addmm.default", (Value(5), Value(1), Value(3)), {}),
        Call("aten.relu.default", (Value(6),), {}),
        Call("aten.sum.dim_IntList", (Value(7), [1]), {}),
        Call("aten.sigmoid.default", (Value(8),), {}),
    ]
    return Program(["user/emb:a", "item/emb:a"], weights, calls, {"y": 9}), inputs(
        5, {"user/emb:a": 6, "item/emb:a": 5}
    )


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
    program = layers(70, 64, 33, 1)
    session = written(program, inputs(5, {"x": 70}), tmp_path, rounded=True)
    steps = json.loads((tmp_path / STEPS).read_bytes())["steps"]
    assert [step["rounded"] for step in steps if step["kind"] == "product"] == [True, True, False]
    given = inputs(ROWS, {"x": 70})
    found, wanted = session({"x": given["x"].numpy()})["y"], program(given)["y"].numpy()
    assert 0.0 < np.linalg.norm(found - wanted) < 0.03 * np.linalg.norm(wanted)


def test_in_int8_a_large_number_that_hardly_counts_takes_no_precision_of_others(tmp_path):
    program = layers(64, 32)
    program.weights["w0"][:, 0] *= 1e-4
    session = written(program, inputs(5, {"x": 64}), tmp_path, rounded=True)
    given = inputs(50, {"x": 64})
    given["x"][:, 0] *= 1e4
    found, wanted = session({"x": given["x"].numpy()})["y"], program(given)["y"].numpy()
    assert np.linalg.norm(found - wanted) < 0.02 * np.linalg.norm(wanted)


def test_a_program_without_a_large_matrix_has_no_int8(tmp_path):
    with pytest.raises(RunError, match="no matrix large enough"):
        write(PROGRAMS["relu"], inputs(5, {"x": 24}), tmp_path, rounded=True)


OTHERS = {
    "other rows": chain(("mean.dim", V(0), [0])),
    "all rows": chain(("sum.dim_IntList", V(0), [])),
    "an unknown call": chain(("cumsum.default", V(0), 1)),
    "a number of rows": chain(("sym_size.int", V(0), 0), ("full.default", [V(1), 2], 1.0), ("mul.Tensor", V(0), V(2))),
    "rows as columns": chain(("permute.default", V(0), [1, 0])),
    "other powers": chain(("pow.Tensor_Scalar", V(0), 3)),
}


@pytest.mark.parametrize("program", OTHERS.values(), ids=OTHERS)
def test_what_the_kernels_cannot_do_is_named(program, tmp_path):
    with pytest.raises(RunError, match="the kernels have nothing for the call 'aten"):
        write(program, inputs(5, {"x": 24}), tmp_path, rounded=False)


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
    with pytest.raises(BundleError, match=r"is damaged|of format"):
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
    for wrong in (
        {"out_at": 1},
        {"x_at": 1},
        {"x_steps": [0, 0, 2]},
        {"out_steps": [0, 0, 2]},
        {"sizes": [2, 1, 4], "out_steps": [1, 0, 1]},
    ):
        with pytest.raises(ValueError, match="reaches beyond"):
            Steps(values, 1, [], [step | wrong], [1])


def test_the_steps_of_the_documentation_run(tmp_path):
    page = (Path(__file__).parents[2] / "docs/reference/bundle.md").read_text()
    text = page.split("## kernels/steps.json", 1)[1].split("```json", 1)[1].split("```", 1)[0]
    matrix = np.random.default_rng(0).normal(size=(16, 32)).astype(np.float32)
    (tmp_path / STEPS).write_text(text)
    np.save(tmp_path / CONSTANTS, matrix.reshape(-1))
    items = np.random.default_rng(1).normal(size=(5, 16)).astype(np.float32)
    found = Session(tmp_path)({"user/emb:deep": np.zeros((1, 24), np.float32), "item/emb:deep": items})["click"]
    np.testing.assert_allclose(found, np.maximum(items @ matrix, 0), rtol=1e-5, atol=1e-5)
