import pytest
import torch
from torch import nn
from torch._higher_order_ops.while_loop import while_loop

from easyrec.errors import RunError
from easyrec.export.calls import Program
from easyrec.export.program import export_program, to_calls
from easyrec.layout import GroupLayout, Span
from easyrec.modules.repeat import repeat

LAYOUTS = {"deep": GroupLayout("deep", (Span("f", 2, 0),), first_order=True)}


def loop(turns, weight, x):
    for turn in range(turns):
        x = x * weight + turn
    return x


def test_equals_a_loop_with_gradients():
    weight = torch.tensor([0.5, 2.0], requires_grad=True)
    (found,) = repeat(torch.tensor(3), lambda turn, x: (x * weight + turn,), torch.ones(2))
    expected = loop(3, weight, torch.ones(2))
    assert torch.equal(found, expected)
    assert torch.equal(*(torch.autograd.grad(v.sum(), weight)[0] for v in (found, expected)))


class AsManyTurnsAsRows(nn.Module):
    """Also carries two values, of which one is a count of sizes that only the data tells."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.5, 2.0]))

    def forward(self, x):
        emb = x.tensors["emb:deep"]
        start = torch.ones_like(emb[:, :1])

        def body(turn, total, seen):
            size = (turn % 3 + 1).item()
            torch._check(size >= 1)
            return total * self.weight + turn, seen + torch.arange(size).sum() + emb.sum(1, keepdim=True)

        turns = torch.full((), emb.shape[0], dtype=torch.int64)
        total, seen = repeat(turns, body, emb.clone(), start)
        return {"logit": total.sum(1) + seen.squeeze(1) + x.first("deep").sum(1)}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("program")
    to_calls(export_program(AsManyTurnsAsRows(), LAYOUTS)).save(folder)
    return folder


@pytest.mark.parametrize("rows", [0, 1, 4])
def test_a_stored_loop_equals_the_loop(saved, rows):
    torch.manual_seed(rows)
    emb, first = torch.randn(rows, 2), torch.randn(rows, 1)
    seen = 1.0 + sum(sum(range(turn % 3 + 1)) for turn in range(rows)) + rows * emb.sum(1)
    expected = loop(rows, torch.tensor([0.5, 2.0]), emb).sum(1) + seen + first.sum(1)
    found = Program.load(saved)({"emb:deep": emb, "first:deep": first})["logit"]
    torch.testing.assert_close(found, expected)


class UntilSomethingHolds(nn.Module):
    """A loop that may never end."""

    def forward(self, x):
        first = x.first("deep").sum(1)
        found = while_loop(lambda v: v.sum() < 9.0, lambda v: (v + 1.0,), (first.clone(),))
        return {"logit": found[0]}


def test_a_loop_without_a_number_of_turns_is_not_exported():
    with pytest.raises(RunError, match="loops until something holds"):
        to_calls(export_program(UntilSomethingHolds(), LAYOUTS))
