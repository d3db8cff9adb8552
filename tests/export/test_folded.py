"""Programs that are given numbers and sums in place of fields give what they gave, and read no field on its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from easyrec.embedding.sums import GROUP, SumsOf
from easyrec.export.calls import Call, Program, Value
from easyrec.export.split.folded import Fields, fold

V = Value
DIM, ROWS = 4, 9
IDS, NUMBERS = 3, 2
KEYS = ("user/first:a", "item/emb:a")


def program(*calls: tuple[Any, ...], **weights: Tensor) -> Program:
    """Calls over the user's columns, value 0, and fields of candidates, value 1: an id, a number, an id, a number, an id."""
    made = [Call(f"aten.{name}", tuple(args), {}) for name, *args in calls]
    return Program(KEYS, weights, made, {"y": 2 + len(weights) + len(calls) - 1})


def example() -> dict[str, Tensor]:
    return {"user/first:a": torch.randn(1, 7), "item/emb:a": torch.randn(ROWS, DIM * (IDS + NUMBERS))}


def fields(*, ahead: tuple[bool, ...] = (), values: int = 1) -> Fields:
    generator = torch.Generator().manual_seed(2)
    one, other = torch.randn(values, DIM, generator=generator), torch.randn(1, DIM, generator=generator)
    return Fields((DIM,) * 5, (None, one, None, other, None), ahead)


def given(own: Fields, blocks: Any) -> dict[str, dict[str, Tensor]]:
    """The same rows as the program had them, and as it is given them."""
    ids, numbers = torch.randn(ROWS, IDS, DIM), torch.randn(ROWS, len(own.vectors[1]) + 1)
    vectors = [numbers[:, :-1] @ own.vectors[1], numbers[:, -1:] @ own.vectors[3]]
    whole = torch.cat([ids[:, 0], vectors[0], ids[:, 1], vectors[1], ids[:, 2]], dim=1)
    summed = own.summed
    parts = [ids[:, place // 2] for place in (0, 2, 4) if not summed[place]]
    if not any(summed):
        parts.append(numbers)
    else:
        columns = [ids[:, place // 2] if place % 2 == 0 else None for place in range(5)]
        columns[1], columns[3] = numbers[:, :-1], numbers[:, -1:]
        rows = torch.cat([c for c, own_ in zip(columns, summed, strict=True) if own_], dim=1)
        for block in blocks:
            sums = rows**block.power @ torch.from_numpy(block.matrix)
            parts.append(torch.nn.functional.pad(sums, (0, block.width - sums.shape[1])))
    user = torch.randn(1, 7)
    return {
        "before": {"user/first:a": user, "item/emb:a": whole},
        "after": {"user/first:a": user, "item/emb:a": torch.cat(parts, dim=1)},
    }


W, B, U = torch.randn(6, 20), torch.randn(6), torch.randn(20, 7)
STACK = ("view.default", V(1), [-1, 5, DIM])
PROGRAMS = {
    "a layer": program(("linear.default", V(1), V(2), V(3)), ("relu.default", V(4)), w=W, b=B),
    "a layer without bias": program(("linear.default", V(1), V(2)), ("relu.default", V(3)), w=W),
    "a layer of both sides": program(
        ("linear.default", V(0), V(3)), ("addmm.default", V(4), V(1), V(2)), ("relu.default", V(5)), w=W.t(), u=U[:6]
    ),
    "a layer over fields and others": program(
        ("expand.default", V(0), [ROWS, -1]),
        ("cat.default", [V(4), V(1), V(4)], 1),
        ("linear.default", V(5), V(2), V(3)),
        w=torch.randn(6, 34),
        b=B,
    ),
    "a product of fields and others": program(
        ("expand.default", V(0), [ROWS, -1]),
        ("cat.default", [V(1), V(3)], -1),
        ("mm.default", V(4), V(2)),
        w=torch.randn(27, 6),
    ),
    "a product": program(("matmul.default", V(1), V(2)), w=W.t()),
    "a sum of columns": program(("sum.dim_IntList", V(1), [1], True)),
    "a sum of columns without them": program(("sum.dim_IntList", V(1), [-1])),
    "a sum of fields": program(STACK, ("sum.dim_IntList", V(2), [1], True)),
    "a factorization machine": program(
        STACK,
        ("sum.dim_IntList", V(2), [1]),
        ("square.default", V(3)),
        ("square.default", V(2)),
        ("sum.dim_IntList", V(5), [1]),
        ("sub.Tensor", V(4), V(6)),
    ),
    "fields that are laid flat again": program(
        STACK, ("view.default", V(3), [-1, 20]), ("linear.default", V(4), V(2)), w=W
    ),
}
AHEAD = {
    "nothing": (),
    "all": (True, False, True, False, True),
    "some": (False, False, True, False, False),
}


@pytest.mark.parametrize("ahead", AHEAD.values(), ids=AHEAD)
@pytest.mark.parametrize("old", PROGRAMS.values(), ids=PROGRAMS)
def test_a_folded_program_gives_the_same(old, ahead):
    own = fields(ahead=ahead)
    folded = fold(old, example(), {"item/emb:a": own})
    assert folded.groups == {"a"}
    rows = given(own, folded.blocks.get("item/emb:a", ()))
    torch.testing.assert_close(folded.program(rows["after"])["y"], old(rows["before"])["y"], rtol=1e-4, atol=1e-4)
    if all(own.summed[::2]):
        products = [call for call in folded.program.calls if "mm" in call.operator and V(1) in call.args]
        assert not products  # nothing of candidates is left to multiply


def test_a_field_of_several_numbers_is_folded_where_nobody_squares_it():
    own = fields(values=3)
    folded = fold(PROGRAMS["a layer"], example(), {"item/emb:a": own})
    rows = given(own, ())
    torch.testing.assert_close(folded.program(rows["after"])["y"], PROGRAMS["a layer"](rows["before"])["y"])
    assert fold(PROGRAMS["a factorization machine"], example(), {"item/emb:a": own}).groups == set()


READERS = {
    "an output": program(("relu.default", V(1))),
    "a field": program(STACK, ("select.int", V(2), 1, 0)),
    "fields by fields": program(STACK, ("mul.Tensor", V(2), V(2))),
    "other powers": program(("square.default", V(1)), ("square.default", V(2)), ("sum.dim_IntList", V(3), [1])),
    "fields beside others": program(("cat.default", [V(1), V(1)], 1), ("relu.default", V(2))),
    "halves of fields": program(("view.default", V(1), [-1, 10, 2]), ("sum.dim_IntList", V(2), [1])),
}


@pytest.mark.parametrize("old", READERS.values(), ids=READERS)
def test_a_program_that_reads_a_field_stays_as_it_is(old):
    folded = fold(old, example(), {"item/emb:a": fields()})
    assert folded.groups == set()
    assert folded.program is old


def test_sums_have_columns_of_one_power_in_each_group():
    own = fields(ahead=AHEAD["all"])
    blocks = fold(PROGRAMS["a factorization machine"], example(), {"item/emb:a": own}).blocks["item/emb:a"]
    sums = SumsOf(("i", "n", "j", "m", "k"), tuple(blocks))
    assert [block.power for block in blocks] == sums.powers == [1, 2]
    assert sums.width == 2 * GROUP
    rows = np.random.default_rng(0).normal(size=(5, DIM)).astype(np.float32)
    found = sums.of_rows(rows, 0)
    np.testing.assert_allclose(found[:, :DIM], rows, rtol=1e-6)
    np.testing.assert_allclose(found[:, GROUP : GROUP + DIM], rows**2, rtol=1e-6)
    assert not found[:, DIM:GROUP].any()
