"""Programs for a device: the same sums there, products in bf16 where asked for, and what a graph cannot hold."""

import pytest
import torch

from easyrec.export.calls import Body, Call, Program, Value
from easyrec.export.placed import in_bf16, on_device, uncapturable

LINEAR, RELU, FULL, ADD = "aten.linear.default", "aten.relu.default", "aten.full.default", "aten.add.Tensor"


def layers():
    """linear, relu, linear, and the input's own sum beside them."""
    torch.manual_seed(0)
    weights = {"a": torch.randn(16, 8), "b": torch.randn(16), "c": torch.randn(1, 16)}
    calls = [
        Call(LINEAR, (Value(0), Value(1), Value(2)), {}),
        Call(RELU, (Value(4),), {}),
        Call(LINEAR, (Value(5), Value(3)), {}),
        Call("aten.sum.dim_IntList", (Value(0), [1], True), {}),
        Call(ADD, (Value(6), Value(7)), {}),
    ]
    return Program(["x"], weights, calls, {"y": 8})


def test_products_are_in_bf16_and_all_else_in_fp32():
    program, x = layers(), torch.randn(50, 8)
    low = torch.bfloat16
    a, b, c = (weight.to(low) for weight in program.weights.values())
    hidden = torch.nn.functional.linear(x.to(low), a, b).float().relu()
    expected = torch.nn.functional.linear(hidden.to(low), c).float() + x.sum(1, keepdim=True)
    found = in_bf16(program)({"x": x})["y"]
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    exact = program({"x": x})["y"]
    assert 0 < (found - exact).abs().max() < 0.1 * exact.abs().max()


def test_a_weight_that_other_calls_read_stays_as_it_is():
    weights = {"a": torch.randn(4, 4)}
    calls = [Call(LINEAR, (Value(0), Value(1)), {}), Call(ADD, (Value(2), Value(1)), {})]
    program = in_bf16(Program(["x"], weights, calls, {"y": 3}))
    assert program.weights["a"].dtype is torch.float32
    x = torch.eye(4)
    expected = (x.bfloat16() @ weights["a"].T.bfloat16()).float() + weights["a"]
    torch.testing.assert_close(program({"x": x})["y"], expected, rtol=0, atol=0)


def test_what_a_program_makes_is_made_on_its_device(other_device):
    calls = [Call(FULL, ([3], 2.0), {"dtype": torch.float32}), Call(ADD, (Value(0), Value(2)), {})]
    turns = Body((Call(FULL, ([3], 1.0), {"dtype": torch.float32}), Call(ADD, (Value(0), Value(1)), {})), (2,))
    repeated = [*calls, Call("repeat", (Value(1), [Value(3)], [], turns), {}), Call("getitem", (Value(4), 0), {})]
    program = Program(["x"], {"n": torch.tensor(2)}, repeated, {"y": 5})
    x = torch.arange(3.0)
    found = on_device(program, other_device)({"x": x.to(other_device)})["y"]
    assert found.device.type == other_device.type
    torch.testing.assert_close(found.cpu(), x + 4)


@pytest.mark.parametrize(
    ("calls", "told"),
    [
        ([Call(RELU, (Value(0),), {})], ""),
        ([Call("aten.nonzero.default", (Value(0),), {})], "'aten.nonzero.default'"),
        ([Call("aten._local_scalar_dense.default", (Value(0),), {})], "'aten._local_scalar_dense.default'"),
        ([Call("repeat", (Value(0), [Value(0)], [], Body((Call(RELU, (Value(0),), {}),), (1,))), {})], "a loop"),
    ],
    ids=["fixed", "size", "number", "loop"],
)
def test_what_the_data_decide_is_told(calls, told):
    found = uncapturable(Program(["x"], {}, calls, {"y": 1}))
    assert told in found
    assert bool(told) is bool(found)
