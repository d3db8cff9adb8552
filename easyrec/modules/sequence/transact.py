"""`transact`: a transformer over the newest steps, each with the candidate at its side."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Seq
from easyrec.config.model import EncoderConfig
from easyrec.layout import SequenceLayout
from easyrec.modules.sequence._encoder import SequenceEncoder, age, max_steps, newest
from easyrec.modules.transformer import Transformer, TransformerConfig


class Config(TransformerConfig, EncoderConfig):
    """Config of `transact`."""

    type: Literal["transact"] = "transact"
    heads: int = Field(2, gt=0)
    layers: int = Field(2, gt=0)
    steps: int = Field(100, gt=0)
    """Newest steps that are looked at."""
    outputs: int = Field(10, ge=0)
    """Newest outputs that are given to the model as they are, beside the maximum of all."""


class TransAct(SequenceEncoder):
    """``[max_l o_l, o_L, o_(L-1) .. o_(L-K+1)]`` with ``o = transformer([s_l, q] + p_l)`` over the newest steps.

    Positions p are learned, and counted from the newest step. Rows with fewer than K steps have zeros at the end.

    Shape:
        output: (B, (1 + K) * (width of a step + width of the candidate))

    Source:
        Xia et al., "TransAct", KDD 2023, section 3.4; without its random window, which hides clicks of the last hours.
    """

    stepwise = False

    def __init__(self, config: Config, layout: SequenceLayout) -> None:
        super().__init__(config, layout)
        self.width = layout.dim + sum(child.dim for child in self.paired)
        self.positions = nn.Parameter(torch.zeros(config.steps, self.width))
        self.transformer = Transformer(self.width, config)
        self.dim = (1 + config.outputs) * self.width

    def forward(self, steps: Seq, query: Tensor | None) -> Tensor:
        """(B, (1 + K) * (D + W)), the maximum and the newest outputs."""
        assert query is not None
        kept = newest(steps, self.config.steps)
        x = torch.cat([kept.values, query.index_select(0, kept.rows)], dim=1)  # (n, D + W)
        x = self.transformer(x + self.positions.index_select(0, age(kept)), kept.offsets)
        largest = max_steps(x, kept)
        return torch.cat([largest, self._last(x, kept)], dim=1) if self.config.outputs else largest

    def _last(self, outputs: Tensor, steps: Seq) -> Tensor:
        """(B, K * width), the newest K outputs of each row, newest first."""
        back = torch.arange(1, self.config.outputs + 1, device=outputs.device)
        place = steps.offsets[1:].unsqueeze(1) - back  # (B, K)
        place = torch.where(place >= steps.offsets[:-1].unsqueeze(1), place, outputs.shape[0])
        padded = torch.cat([outputs, outputs.new_zeros(1, self.width)]).float()
        return padded.index_select(0, place.flatten()).view(-1, self.config.outputs * self.width)
