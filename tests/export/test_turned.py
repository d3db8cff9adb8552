"""Layers over steps with the steps last give what they gave, and say so in fewer numbers."""

import pytest
import torch

from easyrec.export.calls import Call, Program, Value
from easyrec.export.split.turned import turned

ROWS, STEPS, WIDTH, HIDDEN = 11, 101, 6, 5
MUL, ADD = "aten.mul.Tensor", "aten.add.Tensor"


def attention(*tail, bias=True):
    """A layer over products of candidates and steps, and of the steps alone; then more calls."""
    random = torch.Generator().manual_seed(1)
    weights = {"w": (HIDDEN, WIDTH), "b": (HIDDEN,), "k": (HIDDEN, WIDTH), "last": (1, HIDDEN), "end": (1,)}
    values = {name: torch.randn(*shape, generator=random) for name, shape in weights.items()}
    item, steps, w, b, k = map(Value, range(5))
    calls = [
        Call("aten.unsqueeze.default", (item, 1), {}),  # 7
        Call("aten.unsqueeze.default", (steps, 0), {}),  # 8
        Call(MUL, (Value(7), Value(8)), {}),  # 9
        Call("aten.linear.default", (Value(9), w, b) if bias else (Value(9), w), {}),  # 10
        Call("aten.linear.default", (Value(8), k), {}),  # 11
        Call(ADD, (Value(10), Value(11)), {}),  # 12
        Call("aten.sigmoid.default", (Value(12),), {}),  # 13
        Call(MUL, (Value(13), b), {}),  # 14
        *tail,
    ]
    return Program(["item/emb:deep", "user/seq:deep/s"], values, calls, {"y": 6 + len(calls)})


def given(rows, steps):
    random = torch.Generator().manual_seed(rows * 1000 + steps)
    return {
        "item/emb:deep": torch.randn(rows, WIDTH, generator=random),
        "user/seq:deep/s": torch.randn(steps, WIDTH, generator=random),
    }


LAST = Call("aten.linear.default", (Value(14), Value(5), Value(6)), {})  # 15
TAILS = {
    "as it is": (),
    "one weight a step": (LAST, Call("aten.squeeze.dims", (Value(15), [2]), {})),
    "sum over steps": (Call("aten.sum.dim_IntList", (Value(14), [1]), {}),),
    "sum over the width": (Call("aten.sum.dim_IntList", (Value(14), [2]), {}),),
    "a softmax over steps": (Call("aten._softmax.default", (Value(14), 1, False), {}),),
    "a view": (Call("aten.view.default", (Value(14), [-1, HIDDEN]), {}),),
    "a value of each row": (Call("aten.amax.default", (Value(14), [1], True), {}), Call(ADD, (Value(14), Value(15)), {})),
    "a scalar": (Call(ADD, (Value(14), 1.5), {}),),
    "both forms": (Call("aten.amax.default", (Value(14), [2], True), {}), Call(MUL, (Value(14), Value(15)), {})),
}  # fmt: skip


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
@pytest.mark.parametrize("bias", [True, False])
def test_the_value_is_the_same_for_any_number_of_rows_and_steps(tail, bias):
    program = attention(*tail, bias=bias)
    made = turned(program, given(ROWS, STEPS), STEPS)
    assert made is not program
    for rows, steps in ((ROWS, STEPS), (1, 1), (3, 0), (2, 7)):
        if "amax" in str(tail) and not steps:
            continue  # there is no highest of nothing
        x = given(rows, steps)
        torch.testing.assert_close(made(x)["y"], program(x)["y"], rtol=1e-5, atol=1e-5)


def test_products_of_candidates_and_steps_are_not_made():
    program = attention(*TAILS["one weight a step"])
    made = turned(program, given(ROWS, STEPS), STEPS)
    assert [call.operator for call in made.calls].count("aten.matmul.default") == 3
    assert not any(call.operator == "aten.linear.default" for call in made.calls)


def test_a_program_without_such_layers_stays_as_it_was():
    program = Program(["item/emb:deep"], {}, [Call("aten.relu.default", (Value(0),), {})], {"y": 1})
    assert turned(program, {"item/emb:deep": torch.ones(ROWS, 2)}, STEPS) is program
