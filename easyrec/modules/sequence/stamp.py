"""`stamp`: attention to all steps of the newest one and of their mean."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from easyrec.batch import Seq
from easyrec.config.model import EncoderConfig
from easyrec.layout import SequenceLayout
from easyrec.modules.additive_attention import AdditiveAttention
from easyrec.modules.alike import Padding, in_groups
from easyrec.modules.dropout import Dropout
from easyrec.modules.mlp import linear
from easyrec.modules.sequence._causal import CausalEncoder
from easyrec.modules.sequence._encoder import sum_steps


class Config(EncoderConfig):
    """Config of `stamp`."""

    type: Literal["stamp"] = "stamp"
    hidden: int | None = Field(None, gt=0)
    """Units of the attention; null: the width of a step."""
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Probability of zeroing a number of a step, while training."""


class STAMP(CausalEncoder):
    """``tanh(W_s m_a + b_s) * tanh(W_t s_L + b_t)`` with ``m_a = sum_l a_l s_l``, long memory times the newest step.

    ``a_l = w_0 . sigmoid(W_1 s_l + W_2 s_L + W_3 m_s + b_a)`` where m_s is the mean of the steps.

    Source:
        Liu et al., "STAMP: Short-Term Attention/Memory Priority Model for Session-based Recommendation", KDD 2018,
        section 3.3.
    """

    def __init__(self, config: Config, layout: SequenceLayout) -> None:
        super().__init__(config, layout)
        hidden = config.hidden or layout.dim
        self.of_newest, self.of_mean = linear(layout.dim, hidden), linear(layout.dim, hidden, bias=False)
        self.attention = AdditiveAttention(layout.dim, hidden)
        self.long, self.short = linear(layout.dim, layout.dim), linear(layout.dim, layout.dim)
        self.dropout = Dropout(config.dropout)

    def outputs(self, steps: Seq) -> Tensor:
        """(N, D), of the steps up to each."""
        x = self.dropout(steps.values)
        queries = self.of_newest(x) + self.of_mean(_means(x, steps.offsets))
        return self._product(self.attention(queries, x, steps.offsets), x)

    def forward(self, steps: Seq, query: Tensor | None) -> Tensor:
        """(B, D), of all steps; zeros without any."""
        x, lengths = self.dropout(steps.values), steps.offsets.diff().unsqueeze(1)
        padded = torch.cat([x, x.new_zeros(1, x.shape[1])])
        newest = padded.index_select(0, torch.where(lengths.squeeze(1) > 0, steps.offsets[1:] - 1, x.shape[0]))
        mean = sum_steps(x, steps) / lengths.clamp_min(1)
        queries = self.of_newest(newest) + self.of_mean(mean)
        return self._product(self.attention.newest(queries, x, steps), newest).float() * (lengths > 0)

    def _product(self, memory: Tensor, newest: Tensor) -> Tensor:
        return torch.tanh(self.long(memory)) * torch.tanh(self.short(newest))


def _means(x: Tensor, offsets: Tensor) -> Tensor:
    """(N, D), the mean of each step and of older ones of its row."""

    def of_group(lengths: Tensor, longest: int, x: Tensor) -> Tensor:
        padding = Padding(lengths, longest, x.shape[0])
        seen = torch.arange(1, longest + 1, device=x.device).unsqueeze(1)
        return padding.taken(padding.filled(x).cumsum(1) / seen)

    means: Tensor = in_groups(of_group, offsets, x) if x.shape[0] else x
    return means
