"""Gated recurrent units over the steps of each row."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from easyrec.modules.mlp import linear


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


def unroll(cell: Cell, x: Tensor, attention: Tensor | None, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """The states after all steps, and after the last step of each row; zeros where a row has none.

    Each turn goes over the rows that still have a step: no row is padded. Its number of turns is in the data, so that
    torch.export cannot capture it; see `easyrec.modules.repeat`.

    Shape:
        x: (N, width); attention: (N,), or None; offsets: (B+1,)
        output: (N, units) and (B, units) float32
    """
    lengths, order = torch.sort(offsets.diff(), descending=True)
    sizes = _still_running(lengths)
    place = _by_turn(offsets.index_select(0, order), lengths, len(sizes))
    given = torch.split(cell.input(x).index_select(0, place), sizes)
    scores = [None] * len(sizes) if attention is None else torch.split(attention.index_select(0, place), sizes)
    state = x.new_zeros(sizes[0] if sizes else 0, cell.units, dtype=torch.float32)
    none = state.new_zeros(lengths.shape[0] - state.shape[0], cell.units)
    states, ended = [state[:0]], []
    for turn, size in enumerate(sizes):
        if size < state.shape[0]:
            ended.append(state[size:])
            state = state[:size]
        state = cell(given[turn], state, scores[turn])
        states.append(state)
    last = torch.cat([state, *reversed(ended), none]).float()
    return torch.cat(states).index_select(0, _inverse(place)), last.index_select(0, _inverse(order))


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
