import pytest
import torch

from easyrec.modules.recurrent import Cell, unroll

LENGTHS = {"none": [], "empty": [0, 0], "mixed": [3, 0, 5, 1, 5], "equal": [2, 2]}


def turn(cell, x, state, score):
    """The paper's equations for one row."""
    units = cell.units
    w, b, u = (list(torch.split(p, units)) for p in (cell.input.weight, cell.input.bias, cell.state.weight))
    reset = torch.sigmoid(w[1] @ x + b[1] + u[1] @ state)
    fresh = torch.tanh(w[0] @ x + b[0] + reset * (u[0] @ state))
    gate = torch.sigmoid(w[2] @ x + b[2] + u[2] @ state) if cell.kind != "agru" else 1.0
    gate = gate if cell.kind == "gru" else gate * score
    return (1 - gate) * state + gate * fresh


def looped(cell, x, attention, offsets):
    states, last = [], []
    for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        state = torch.zeros(cell.units)
        for step in range(start, end):
            state = turn(cell, x[step], state, None if attention is None else attention[step])
            states.append(state)
        last.append(state)
    empty = torch.zeros(0, cell.units)
    return torch.stack(states) if states else empty, torch.stack(last) if last else empty


@pytest.mark.parametrize("kind", ["gru", "agru", "augru"])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_equals_a_loop_with_gradients(kind, lengths):
    torch.manual_seed(0)
    cell, count = Cell(4, 3, kind), sum(lengths)
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(count, 4, requires_grad=True)
    attention = None if kind == "gru" else torch.rand(count, requires_grad=True)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), torch.tensor(lengths, dtype=torch.int64).cumsum(0)])
    leaves, results = [x, *cell.parameters(), *([] if attention is None else [attention])], []
    for form in (unroll, looped):
        states, last = form(cell, x, attention, offsets)
        results.append([states, last])
        if count:
            loss = (states * torch.linspace(-1, 1, 3)).sum() + (last**2).sum()
            results[-1] += torch.autograd.grad(loss, leaves)
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
