"""`gru4rec`: gated recurrent units over the steps."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Seq
from easyrec.config.model import EncoderConfig
from easyrec.layout import SequenceLayout
from easyrec.modules.dropout import Dropout
from easyrec.modules.mlp import linear
from easyrec.modules.recurrent import Cell, unroll
from easyrec.modules.repeat import repeat
from easyrec.modules.sequence._causal import CausalEncoder


class Config(EncoderConfig):
    """Config of `gru4rec`."""

    type: Literal["gru4rec"] = "gru4rec"
    units: int = Field(128, gt=0)
    """Width of a state."""
    layers: int = Field(1, gt=0)
    """Recurrent layers, one after another."""
    dropout: float = Field(0.2, ge=0.0, lt=1.0)
    """Probability of zeroing a number of a step, while training."""


class GRU4Rec(CausalEncoder):
    """``W h^K_l + b`` with ``h^k_l = GRU_k(h^(k-1)_l, h^k_(l-1))`` and ``h^0_l = s_l``.

    Source:
        Hidasi et al., "Session-based Recommendations with Recurrent Neural Networks", ICLR 2016, section 3.
    """

    def __init__(self, config: Config, layout: SequenceLayout) -> None:
        super().__init__(config, layout)
        widths = [layout.dim] + [config.units] * config.layers
        self.cells = nn.ModuleList(Cell(width, config.units) for width in widths[:-1])
        self.out = linear(config.units, layout.dim)
        self.dropout = Dropout(config.dropout)

    def outputs(self, steps: Seq) -> Tensor:
        """(N, D), the mapped states after all steps."""
        x = self.dropout(steps.values)
        for cell in self.cells:
            x, _ = unroll(cell, x, None, steps.offsets)
        return self.out(x)  # type: ignore[no-any-return]

    def forward(self, steps: Seq, query: Tensor | None) -> Tensor:
        """(B, D), the mapped last state; zeros without steps."""
        return self._captured(steps) if torch.compiler.is_exporting() else super().forward(steps, query)

    def _captured(self, steps: Seq) -> Tensor:
        """The same in a loop over all rows, which a stored program repeats."""
        starts, lengths = steps.offsets[:-1], steps.offsets.diff()
        values = torch.cat([steps.values, steps.values.new_zeros(1, steps.values.shape[1])])
        behind = lengths.sum()  # N, where a step of zeros lies

        def turn_over(turn: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
            runs = turn < lengths
            x, fresh = values.index_select(0, torch.where(runs, starts + turn, behind)), []
            for cell, state in zip(self.cells, states, strict=True):
                x = torch.where(runs.unsqueeze(1), cell(cell.input(x), state, None), state)  # type: ignore[operator]
                fresh.append(x)
            return tuple(fresh)

        turns = torch.cat([lengths, lengths.new_zeros(1)]).amax()
        none = [steps.values.new_zeros(lengths.shape[0], self.config.units) for _ in self.cells]
        *_, last = repeat(turns, turn_over, *none)
        return self.out(last) * (lengths > 0).unsqueeze(1)  # type: ignore[no-any-return]
