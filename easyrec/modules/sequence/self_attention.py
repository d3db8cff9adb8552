"""`self_attention`: a transformer over the steps, which knows no candidate."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Seq
from easyrec.config.model import EncoderConfig
from easyrec.layout import SequenceLayout
from easyrec.modules.sequence._encoder import SequenceEncoder, age, sum_steps
from easyrec.modules.transformer import Transformer, TransformerConfig


class Config(TransformerConfig, EncoderConfig):
    """Config of `self_attention`."""

    type: Literal["self_attention"] = "self_attention"
    positions: int = Field(200, ge=0)
    """Learn a vector per position counted from the newest step, equal from this one on; 0: none."""
    pooling: Literal["mean", "sum", "newest"] = "mean"
    """What becomes of a row's outputs: their mean or sum, or that of the newest step alone."""


class SelfAttentionEncoder(SequenceEncoder):
    """``mean(transformer([s_1 + p_L .. s_L + p_1]))``, with learned positions counted from the newest step.

    Source:
        Vaswani et al., "Attention Is All You Need", NIPS 2017, section 3.2.
    """

    needs_query = False

    def __init__(self, config: Config, layout: SequenceLayout) -> None:
        super().__init__(config, layout)
        self.positions = nn.Parameter(torch.zeros(config.positions, layout.dim)) if config.positions else None
        self.transformer = Transformer(layout.dim, config)

    def forward(self, steps: Seq, query: Tensor | None) -> Tensor:
        """(B, D), the pooled outputs."""
        places = steps.values
        if self.positions is not None:
            places = places + self.positions.index_select(0, age(steps).clamp_max(self.positions.shape[0] - 1))
        x: Tensor = self.transformer(places, steps.offsets)
        lengths = steps.offsets.diff().unsqueeze(1)
        if self.config.pooling == "newest":
            padded = torch.cat([x, x.new_zeros(1, x.shape[1])]).float()
            last = torch.where(lengths.squeeze(1) > 0, steps.offsets[1:] - 1, x.shape[0])
            return padded.index_select(0, last)
        total = sum_steps(x, steps)
        return total / lengths.clamp_min(1) if self.config.pooling == "mean" else total
