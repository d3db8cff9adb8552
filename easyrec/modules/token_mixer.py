"""Blocks over the tokens of a row that mix by exchanging slices, each followed by a layer per token.

Tokens come first, (T, B, dim): so each one's layers read rows that lie together.
"""

from __future__ import annotations

from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from easyrec.modules.dropout import Dropout
from easyrec.modules.experts import Linears


class Tokens(nn.Module):
    """T tokens of a row's inputs: T equal slices of them, each projected on its own.

    Shape:
        input: (B, width)
        output: (T, B, dim)

    Source:
        Zhu et al., "RankMixer: Scaling Up Ranking Models in Industrial Recommenders", 2025, section 3.2.
    """

    def __init__(self, width: int, tokens: int, dim: int) -> None:
        super().__init__()
        self.tokens, size = tokens, ceil(width / tokens)
        self.padding = tokens * size - width
        self.project = Linears(tokens, size, dim)

    def forward(self, input: Tensor) -> Tensor:
        """The tokens."""
        padded = F.pad(input, (0, self.padding)) if self.padding else input
        return _of_tokens(self.project, torch.unflatten(padded, 1, (self.tokens, -1)).transpose(0, 1))


class MixerBlock(nn.Module):
    """``s = norm(mix(x) + x)``, then ``norm(ffn_t(s_t) + s_t)`` with ``ffn_t(s) = W_t gelu(V_t s + a_t) + b_t`` per token.

    `mix` cuts each of the T tokens into T slices; token h of the result is slice h of all tokens, side by side. It has no
    weights, and tokens of unlike features share none in the layers after it.

    Shape:
        input, output: (T, B, dim); T divides dim

    Source:
        Zhu et al., "RankMixer: Scaling Up Ranking Models in Industrial Recommenders", 2025, section 3.3.
    """

    def __init__(self, tokens: int, dim: int, expansion: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.tokens = tokens
        self.inner = Linears(tokens, dim, expansion * dim)
        self.outer = Linears(tokens, expansion * dim, dim)
        self.dropout = Dropout(dropout) if dropout else nn.Identity()
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(2))

    def forward(self, input: Tensor) -> Tensor:
        """The tokens of the next block."""
        slices = torch.unflatten(input, 2, (self.tokens, -1))  # (T, B, T, dim / T)
        mixed = self.norms[0](slices.transpose(0, 2).flatten(2) + input)
        hidden = self.dropout(F.gelu(_of_tokens(self.inner, mixed)))
        return self.norms[1](_of_tokens(self.outer, hidden) + mixed)  # type: ignore[no-any-return]


def _of_tokens(layers: Linears, input: Tensor) -> Tensor:
    """(T, B, units), a layer of each token."""
    return torch.baddbmm(layers.bias.unsqueeze(1), input, layers.weight.transpose(1, 2))
