"""`target_attention`: the steps weighted by their dot product with the candidate."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from easyrec.batch import Seq
from easyrec.config.model import EncoderConfig
from easyrec.layout import SequenceLayout
from easyrec.modules.mlp import linear
from easyrec.modules.sequence._encoder import SequenceEncoder, softmax_steps, sum_steps


class Config(EncoderConfig):
    """Config of `target_attention`."""

    type: Literal["target_attention"] = "target_attention"
    heads: int = Field(0, ge=0)
    """Heads with learned projections; 0: the dot product of candidate and step as they are."""


class TargetAttention(SequenceEncoder):
    """``sum_l a_l s_l`` with ``a = softmax(q . k_l / sqrt(d))`` over a row's steps.

    q is the candidate, k_l the columns of the step s_l that are paired with it. With heads
    ``[sum_l a^h_l V_h s_l]_h W`` and ``a^h = softmax((Q_h q) . (K_h s_l) / sqrt(d))``: all that a step has, its age for
    one, weighs. The d of all heads add up to the width of a step, or to a little more where they do not divide it.

    Source:
        Vaswani et al., "Attention Is All You Need", NIPS 2017, eq. (1) and section 3.2.2.
    """

    keys_of_whole_steps: ClassVar[bool] = True
    """Keys of heads read all columns of a step; else those that are paired with the candidate."""

    def __init__(self, config: Config, layout: SequenceLayout) -> None:
        super().__init__(config, layout)
        width = sum(child.dim for child in self.paired)
        self.heads = config.heads
        if self.heads:
            inner = -(-layout.dim // self.heads) * self.heads
            read = layout.dim if self.keys_of_whole_steps else width
            self.query, self.key = linear(width, inner, bias=False), linear(read, inner, bias=False)
            self.value, self.out = linear(layout.dim, inner, bias=False), linear(inner, layout.dim, bias=False)

    def forward(self, steps: Seq, query: Tensor | None) -> Tensor:
        """(B, D), the steps weighted."""
        assert query is not None
        if not self.heads:
            keys = self.compared(steps.values)  # (N, W)
            return sum_steps(self._weights(keys.unsqueeze(1), query.unsqueeze(1), steps) * steps.values, steps)
        by_head = (self.heads, -1)
        read = steps.values if self.keys_of_whole_steps else self.compared(steps.values)
        keys, query = (torch.unflatten(t, 1, by_head) for t in (self.key(read), self.query(query)))
        values = torch.unflatten(self.value(steps.values), 1, by_head)  # (N, H, d)
        weighted = self._weights(keys, query, steps).unsqueeze(2) * values
        return self.out(sum_steps(weighted.flatten(1), steps)).float()  # type: ignore[no-any-return]

    def _weights(self, keys: Tensor, query: Tensor, steps: Seq) -> Tensor:
        """(N, H) float32, the weight of each step in each head."""
        products = (keys * query.index_select(0, steps.rows)).float().sum(2)
        return softmax_steps(products / math.sqrt(keys.shape[2]), steps)
