"""`dien`: how the interest in the candidate evolves over the steps."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from easyrec.batch import Seq
from easyrec.config.model import EncoderConfig
from easyrec.layout import SequenceLayout
from easyrec.modules.mlp import linear
from easyrec.modules.recurrent import Cell, unroll
from easyrec.modules.repeat import repeat
from easyrec.modules.sequence._encoder import SequenceEncoder, softmax_steps
from easyrec.modules.sequence._next_step import next_step_loss


class Config(EncoderConfig):
    """Config of `dien`."""

    type: Literal["dien"] = "dien"
    evolution: Literal["augru", "aigru", "agru"] = "augru"
    """Where attention enters the second unit: its update gate, its input, or in the place of its update gate."""
    auxiliary: float = Field(1.0, ge=0.0)
    """Weight of the loss that lets the state after a step tell the next one; 0: none."""


class DIEN(SequenceEncoder):
    """``h'_L``, the last state of a gated recurrent unit over ``h_l = GRU(s_1 .. s_l)`` that attends to the candidate.

    Attention is ``a = softmax(h_l W q)`` over a row's steps. It scales the update gate (`augru`), the input (`aigru`),
    or takes the place of the gate (`agru`). While training, h_l should tell the next step from one of another row.

    Shape:
        output: (B, D), states are as wide as a step

    Source:
        Zhou et al., "Deep Interest Evolution Network", AAAI 2019, eq. (2)-(15).
    """

    stepwise = False

    def __init__(self, config: Config, layout: SequenceLayout) -> None:
        super().__init__(config, layout)
        self.extraction = Cell(layout.dim, layout.dim)
        self.attention = linear(sum(child.dim for child in self.paired), layout.dim, bias=False)
        self.evolution = Cell(layout.dim, layout.dim, "gru" if config.evolution == "aigru" else config.evolution)

    def forward(self, steps: Seq, query: Tensor | None) -> Tensor:
        """(B, D), the last state."""
        assert query is not None
        target = self.attention(query)  # (B, D)
        if torch.compiler.is_exporting():
            return self._captured(steps, target)
        states, _ = unroll(self.extraction, steps.values, None, steps.offsets)  # (N, D)
        loss = next_step_loss(states, steps) if self.training and self.config.auxiliary else None
        self.auxiliary = None if loss is None else self.config.auxiliary * loss
        scores = softmax_steps((states * target.index_select(0, steps.rows)).float().sum(1), steps)
        inside = self.config.evolution == "aigru"
        given, gate = (states * scores.unsqueeze(1), None) if inside else (states, scores)
        last: Tensor = unroll(self.evolution, given, gate, steps.offsets)[1]
        return last

    def _captured(self, steps: Seq, target: Tensor) -> Tensor:
        """The same in two loops over all rows; the second has the states anew, since no loop collects them."""
        starts, lengths = steps.offsets[:-1], steps.offsets.diff()
        given = self.extraction.input(steps.values)
        given = torch.cat([given, given.new_zeros(1, given.shape[1])])
        behind = lengths.sum()  # N, where a row of zeros lies

        def extract(turn: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            runs = turn < lengths
            place = torch.where(runs, starts + turn, behind)
            fresh = self.extraction(given.index_select(0, place), state, None)
            return runs.unsqueeze(1), place, torch.where(runs.unsqueeze(1), fresh, state)

        def attend(turn: Tensor, state: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
            _, place, state = extract(turn, state)
            return state, scores.index_put((place,), (state * target).sum(1))

        turns = torch.cat([lengths, lengths.new_zeros(1)]).amax()
        none = torch.zeros_like(target)
        _, scores = repeat(turns, attend, none, given.new_zeros(given.shape[0]))
        scores = softmax_steps(scores[:-1], steps)
        scores = torch.cat([scores, scores.new_zeros(1)])

        def evolve(turn: Tensor, state: Tensor, interest: Tensor) -> tuple[Tensor, Tensor]:
            runs, place, state = extract(turn, state)
            score = scores.index_select(0, place)
            if self.config.evolution == "aigru":
                fresh = self.evolution(self.evolution.input(state * score.unsqueeze(1)), interest, None)
            else:
                fresh = self.evolution(self.evolution.input(state), interest, score)
            return state, torch.where(runs, fresh, interest)

        return repeat(turns, evolve, none, none.clone())[1]
