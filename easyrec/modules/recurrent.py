"""Gated recurrent units over the steps of each row."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from easyrec.modules.mlp import linear
from easyrec.modules.product import outer, times


class Cell(nn.Module):
    """One turn of a gated recurrent unit, with an attention score a where its kind has one.

    ``h' = (1 - g) h + g tanh(W_h x + b_h + r (U_h h))`` with the gates ``r = sigmoid(W_r x + b_r + U_r h)`` and
    g = u in `gru`, a u in `augru`, a in `agru`, where ``u = sigmoid(W_u x + b_u + U_u h)``.

    Shape:
        given: (n, parts * units), what `input` makes of x
        state: (n, units); attention: (n,), or None for `gru`
        output: (n, units)

    Source:
        Zhou et al., "Deep Interest Evolution Network", AAAI 2019, eq. (2)-(5), (12), (14)-(15).
    """

    def __init__(self, width: int, units: int, kind: Literal["gru", "agru", "augru"] = "gru") -> None:
        super().__init__()
        self.kind, self.units = kind, units
        parts = 2 if kind == "agru" else 3  # which has no gate u
        self.input, self.state = linear(width, parts * units), linear(units, parts * units, bias=False)

    def forward(self, given: Tensor, state: Tensor, attention: Tensor | None) -> Tensor:
        """The next state."""
        units, own = self.units, self.state(state)
        gates = torch.sigmoid(given[:, units:] + own[:, units:])
        fresh = torch.tanh(given[:, :units] + gates[:, :units] * own[:, :units])
        gate = gates[:, units:]
        if attention is not None:
            scores = attention.unsqueeze(1).to(fresh.dtype)
            gate = scores if self.kind == "agru" else scores * gate
        return state + gate * (fresh - state)


@torch.compiler.disable  # type: ignore[untyped-decorator]  # the number of turns is in the data
def unroll(cell: Cell, x: Tensor, attention: Tensor | None, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """The states after all steps, and after the last step of each row; zeros where a row has none. In float32.

    Each turn goes over the rows that still have a step: no row is padded. Its number of turns is in the data, so that
    torch.export cannot capture it; see `easyrec.modules.repeat`.

    Shape:
        x: (N, width); attention: (N,), or None; offsets: (B+1,)
        output: (N, units) and (B, units)
    """
    lengths, order = torch.sort(offsets.diff(), descending=True)
    sizes = _still_running(lengths)
    place = _by_turn(offsets.index_select(0, order), lengths, len(sizes))
    given = cell.input(x).float().index_select(0, place)
    scores = None if attention is None else attention.float().index_select(0, place)
    with torch.autocast(x.device.type, enabled=False):
        states: Tensor = _Turns.apply(given, cell.state.weight, scores, sizes, cell.kind)  # type: ignore[no-untyped-call]
    states = torch.cat([states.index_select(0, _inverse(place)), states.new_zeros(1, cell.units)])
    last = torch.where(offsets.diff() > 0, offsets[1:] - 1, x.shape[0])
    return states[:-1], states.index_select(0, last)


class _Turns(torch.autograd.Function):
    """`Cell` over steps that lie turn after turn, `sizes` of them in each; without autograd's book-keeping per turn."""

    @staticmethod
    def forward(ctx: Any, given: Tensor, weight: Tensor, scores: Tensor | None, sizes: list[int], kind: str) -> Tensor:
        units = weight.shape[1]
        state = given.new_zeros(sizes[0] if sizes else 0, units)
        # By step: the state before, its product with U_h, the gates, and what the state would become.
        before, products, fresh, states = (given.new_empty(given.shape[0], units) for _ in range(4))
        gates = torch.empty_like(given[:, units:])
        start = 0
        for size in sizes:
            at = slice(start, start := start + size)
            before[at] = state = state[:size]
            own = times(state, weight)
            products[at] = own[:, :units]
            torch.sigmoid(own[:, units:] + given[at, units:], out=gates[at])
            torch.tanh(torch.addcmul(given[at, :units], gates[at, :units], own[:, :units]), out=fresh[at])
            torch.addcmul(state, _gate(gates[at], scores, at, units, kind), fresh[at] - state, out=states[at])
            state = states[at]
        ctx.save_for_backward(weight, scores, before, products, fresh, gates)
        ctx.sizes, ctx.kind = sizes, kind
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, scores, before, products, fresh, gates = ctx.saved_tensors
        sizes, units = ctx.sizes, weight.shape[1]
        of_given, of_own = (gates.new_empty(gates.shape[0], weight.shape[0]) for _ in range(2))
        of_scores = None if scores is None else torch.empty_like(scores)
        carried = gradient.new_zeros(sizes[0] if sizes else 0, units)
        back = weight.t().contiguous()
        start = gradient.shape[0]
        for size in reversed(sizes):
            at = slice(start := start - size, start + size)
            of_state = carried[:size] + gradient[at]
            gate = _gate(gates[at], scores, at, units, ctx.kind)
            of_gate = of_state * (fresh[at] - before[at])
            inner = of_state * gate * (1.0 - fresh[at] ** 2)
            of_given[at, :units] = inner
            torch.mul(inner, gates[at, :units], out=of_own[at, :units])
            of_gates = inner * products[at]
            if ctx.kind != "agru":
                if scores is not None:
                    assert of_scores is not None
                    of_scores[at] = (of_gate * gates[at, units:]).sum(1)
                    of_gate = of_gate * scores[at].unsqueeze(1)
                of_gates = torch.cat([of_gates, of_gate], dim=1)
            elif of_scores is not None:
                of_scores[at] = of_gate.sum(1)
            of_gates = of_gates * gates[at] * (1.0 - gates[at])
            of_given[at, units:] = of_gates
            of_own[at, units:] = of_gates
            carried[:size] = of_state * (1.0 - gate) + times(of_own[at], back)
        of_weight = outer(of_own, before)
        return of_given, of_weight, of_scores, None, None


def _gate(gates: Tensor, scores: Tensor | None, at: slice, units: int, kind: str) -> Tensor:
    """How much of the state a turn replaces."""
    if scores is None:
        return gates[:, units:]
    return scores[at].unsqueeze(1) if kind == "agru" else scores[at].unsqueeze(1) * gates[:, units:]


def _still_running(lengths: Tensor) -> list[int]:
    """For each turn the number of rows, of `lengths` that descend, that have a step."""
    turns = torch.arange(int(lengths[0]) if lengths.shape[0] else 0, device=lengths.device)
    sizes: list[int] = torch.searchsorted(-lengths, -turns).tolist()
    return sizes


def _by_turn(starts: Tensor, lengths: Tensor, turns: int) -> Tensor:
    """(N,), where the steps lie, turn after turn, of rows that start at `starts`."""
    turn = torch.arange(turns, device=starts.device).unsqueeze(1)
    return (starts + turn)[turn < lengths]


def _inverse(places: Tensor) -> Tensor:
    back = torch.empty_like(places)
    back[places] = torch.arange(places.shape[0], device=places.device)
    return back
