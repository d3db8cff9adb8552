"""`fmlp_rec`: filters over the frequencies of the steps, in the place of attention."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Seq
from easyrec.config.model import EncoderConfig
from easyrec.layout import SequenceLayout
from easyrec.modules.dropout import Dropout
from easyrec.modules.frequency_filter import FrequencyFilter
from easyrec.modules.mlp import linear
from easyrec.modules.sequence._encoder import age, newest
from easyrec.modules.sequence._telling import PrefixEncoder


class Config(EncoderConfig):
    """Config of `fmlp_rec`."""

    type: Literal["fmlp_rec"] = "fmlp_rec"
    length: int = Field(50, gt=0)
    """N, newest steps that are looked at."""
    layers: int = Field(2, gt=0)
    """Blocks, one after another."""
    feedforward: int | None = Field(None, gt=0)
    """Units inside the feed-forward part; null: four times the width of a step."""
    dropout: float = Field(0.5, ge=0.0, lt=1.0)
    """Probability of zeroing an input, and what the filter and the feed-forward part add, while training."""


class FMLPRec(PrefixEncoder):
    """``x^K_L`` with ``x^0_l = norm(s_l + p_l)`` and blocks ``y = norm(x + filter(x))``, ``x = norm(y + FFN(y))``.

    ``FFN(y) = W_2 gelu(W_1 y + b_1) + b_2``. The filter lets every step see the whole row, so that a step is told by a
    pass over the row before it. Of the last block the newest step alone is computed.

    Source:
        Zhou et al., "Filter-enhanced MLP is All You Need for Sequential Recommendation", WWW 2022, section 3.
    """

    def __init__(self, config: Config, layout: SequenceLayout) -> None:
        super().__init__(config, layout)
        self.positions = nn.Parameter(0.02 * torch.randn(config.length, layout.dim))
        self.norm = nn.LayerNorm(layout.dim)
        self.blocks = nn.ModuleList([_Block(layout.dim, config) for _ in range(config.layers)])
        self.dropout = Dropout(config.dropout)

    def forward(self, steps: Seq, query: Tensor | None) -> Tensor:
        """(B, D), the last block's output for the newest step; zeros without steps."""
        kept = newest(steps, self.config.length)
        x = self.dropout(self.norm(kept.values + self.positions.index_select(0, age(kept))))
        for block in self.blocks[:-1]:
            x = block(x, kept.offsets)
        last = self.blocks[-1]
        assert isinstance(last, _Block)
        return last.newest(x, kept)


class _Block(nn.Module):
    """``y = norm(x + filter(x))``, ``norm(y + FFN(y))``."""

    def __init__(self, width: int, config: Config) -> None:
        super().__init__()
        inner = config.feedforward or 4 * width
        self.filter = FrequencyFilter(width, config.length)
        self.feedforward = nn.Sequential(linear(width, inner), nn.GELU(), linear(inner, width))
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, offsets: Tensor) -> Tensor:
        """(N, width), of all steps."""
        return self._refined(x, self.filter(x, offsets))

    def newest(self, x: Tensor, steps: Seq) -> Tensor:
        """(B, width) float32, of the newest step of each row; zeros where there is none."""
        there = steps.offsets.diff() > 0
        padded = torch.cat([x, x.new_zeros(1, x.shape[1])])
        own = padded.index_select(0, torch.where(there, steps.offsets[1:] - 1, x.shape[0]))
        return self._refined(own, self.filter.newest(x, steps)).float() * there.unsqueeze(1)

    def _refined(self, x: Tensor, filtered: Tensor) -> Tensor:
        y = self.norms[0](x + self.dropout(filtered))
        return self.norms[1](y + self.dropout(self.feedforward(y)))  # type: ignore[no-any-return]
