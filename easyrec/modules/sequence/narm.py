"""`narm`: recurrent units, and attention of the newest state to all of them."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from easyrec.batch import Seq
from easyrec.config.model import EncoderConfig
from easyrec.layout import SequenceLayout
from easyrec.modules.additive_attention import AdditiveAttention
from easyrec.modules.dropout import Dropout
from easyrec.modules.mlp import linear
from easyrec.modules.recurrent import Cell, unroll
from easyrec.modules.repeat import repeat
from easyrec.modules.sequence._causal import CausalEncoder


class Config(EncoderConfig):
    """Config of `narm`."""

    type: Literal["narm"] = "narm"
    units: int = Field(100, gt=0)
    """Width of a state."""
    input_dropout: float = Field(0.25, ge=0.0, lt=1.0)
    """Probability of zeroing a number of a step, while training."""
    dropout: float = Field(0.5, ge=0.0, lt=1.0)
    """Probability of zeroing a number of what the states become together, while training."""


class NARM(CausalEncoder):
    """``B [h_L, sum_l a_l h_l]`` with ``h_l = GRU(s_l, h_(l-1))`` and ``a_l = w . sigmoid(A_1 h_L + A_2 h_l)``.

    Source:
        Li et al., "Neural Attentive Session-based Recommendation", CIKM 2017, section 3.
    """

    def __init__(self, config: Config, layout: SequenceLayout) -> None:
        super().__init__(config, layout)
        self.cell = Cell(layout.dim, config.units)
        self.queries = linear(config.units, config.units, bias=False)
        self.attention = AdditiveAttention(config.units, config.units)
        self.out = linear(2 * config.units, layout.dim, bias=False)
        self.input_dropout, self.dropout = Dropout(config.input_dropout), Dropout(config.dropout)

    def outputs(self, steps: Seq) -> Tensor:
        """(N, D), of the states up to each step."""
        states, _ = unroll(self.cell, self.input_dropout(steps.values), None, steps.offsets)
        found = self.attention(self.queries(states), states, steps.offsets)
        return self._joined(states, found)

    def forward(self, steps: Seq, query: Tensor | None) -> Tensor:
        """(B, D), of all states; zeros without steps."""
        if torch.compiler.is_exporting():
            return self._captured(steps)
        states, last = unroll(self.cell, self.input_dropout(steps.values), None, steps.offsets)
        return self._joined(last, self.attention.newest(self.queries(last), states, steps)).float()

    def _joined(self, states: Tensor, found: Tensor) -> Tensor:
        return self.out(self.dropout(torch.cat([states, found.to(states.dtype)], dim=1)))  # type: ignore[no-any-return]

    def _captured(self, steps: Seq) -> Tensor:
        """The same in two loops over all rows; the second has the states anew, since no loop collects them."""
        starts, lengths = steps.offsets[:-1], steps.offsets.diff()
        given = self.cell.input(torch.cat([steps.values, steps.values.new_zeros(1, steps.values.shape[1])]))
        behind = lengths.sum()  # N, where a step of zeros lies
        turns = torch.cat([lengths, lengths.new_zeros(1)]).amax()
        none = given.new_zeros(lengths.shape[0], self.config.units)

        def state_after(turn: Tensor, state: Tensor) -> tuple[Tensor]:
            runs = turn < lengths
            fresh = self.cell(given.index_select(0, torch.where(runs, starts + turn, behind)), state, None)
            return (torch.where(runs.unsqueeze(1), fresh, state),)

        (last,) = repeat(turns, state_after, none)
        queries = self.queries(last)

        def attend(turn: Tensor, state: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
            (state,) = state_after(turn, state)
            scores = self.attention.score(torch.sigmoid(queries + self.attention.keys(state)))  # (B, 1)
            return state, found + scores * state * (turn < lengths).unsqueeze(1)

        _, found = repeat(turns, attend, none, none.clone())
        return self._joined(last, found)
