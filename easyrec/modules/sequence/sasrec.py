"""`sasrec`: a transformer over the steps, none of which sees a newer one."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Seq
from easyrec.config.model import EncoderConfig
from easyrec.layout import SequenceLayout
from easyrec.modules.dropout import Dropout
from easyrec.modules.mlp import linear
from easyrec.modules.sequence._causal import CausalEncoder
from easyrec.modules.sequence._encoder import age
from easyrec.modules.transformer import BlockConfig, SelfAttention


class Config(BlockConfig, EncoderConfig):
    """Config of `sasrec`."""

    type: Literal["sasrec"] = "sasrec"
    layers: int = Field(2, gt=0)
    """Blocks, one after another."""
    heads: int = Field(1, gt=0)
    dropout: float = Field(0.2, ge=0.0, lt=1.0)
    """Probability of zeroing an input, and what attention and the feed-forward part add, while training."""
    positions: int = Field(200, ge=0)
    """Learn a vector per position counted from the newest step, equal from this one on; 0: none."""


class SASRec(CausalEncoder):
    """``norm(x^L)`` with ``x^0 = sqrt(D) s_l + p_l`` and blocks ``x + attention(norm(x))``, ``x + FFN(norm(x))``.

    ``FFN(x) = W_2 relu(W_1 x + b_1) + b_2``; no step attends to a newer one.

    Source:
        Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018, eq. (1)-(6).
    """

    def __init__(self, config: Config, layout: SequenceLayout) -> None:
        super().__init__(config, layout)
        self.positions = nn.Parameter(0.02 * torch.randn(config.positions, layout.dim)) if config.positions else None
        self.blocks = nn.ModuleList([_Block(layout.dim, config) for _ in range(config.layers)])
        self.norm = nn.LayerNorm(layout.dim)
        self.dropout = Dropout(config.dropout)

    def outputs(self, steps: Seq) -> Tensor:
        """(N, D), the output of each step."""
        x = steps.values * math.sqrt(self.layout.dim)
        if self.positions is not None:
            x = x + self.positions.index_select(0, age(steps).clamp_max(self.positions.shape[0] - 1))
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, steps.offsets)
        return self.norm(x)  # type: ignore[no-any-return]


class _Block(nn.Module):
    """``y = x + attention(norm(x))``, ``y + FFN(norm(y))``."""

    def __init__(self, width: int, config: Config) -> None:
        super().__init__()
        inner = config.feedforward or width
        self.attention = SelfAttention(width, config.heads, causal=True)
        self.feedforward = nn.Sequential(linear(width, inner), nn.ReLU(), linear(inner, width))
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, offsets: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.norms[0](x), offsets))
        return x + self.dropout(self.feedforward(self.norms[1](x)))  # type: ignore[no-any-return]
