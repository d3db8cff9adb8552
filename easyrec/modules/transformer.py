"""A transformer over the steps of each row."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.modules.dropout import Dropout
from easyrec.modules.jagged_attention import attend
from easyrec.modules.mlp import linear
from feature_generator.config import StrictModel


class TransformerConfig(StrictModel):
    """Keys of a transformer."""

    heads: int = Field(4, gt=0)
    """Heads of attention; their dims add up to the width of a step, or to a little more where it is not divisible."""
    layers: int = Field(1, gt=0)
    """Blocks, one after another."""
    feedforward: int | None = Field(None, gt=0)
    """Units inside the feed-forward part; null: the width of a step."""
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Probability of zeroing what attention and the feed-forward part add, while training."""


class SelfAttention(nn.Module):
    """``[head_1 .. head_H] W`` with ``head = softmax(Q K' / sqrt(d)) V`` among the steps of each row.

    Shape:
        x: (N, width); offsets: (B+1,)
        output: (N, width)

    Source:
        Vaswani et al., "Attention Is All You Need", NIPS 2017, section 3.2.2.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.dim = heads, -(-width // heads)
        inner = heads * self.dim
        self.projected = linear(width, 3 * inner, bias=False)
        self.out = linear(inner, width, bias=False)

    def forward(self, x: Tensor, offsets: Tensor) -> Tensor:
        """The steps, each a mixture of those of its row."""
        return self.out(self.by_head(x, offsets).flatten(1))  # type: ignore[no-any-return]

    def by_head(self, x: Tensor, offsets: Tensor) -> Tensor:
        """(N, H, d), what each head gives."""
        return attend(torch.unflatten(self.projected(x), 1, (3, self.heads, self.dim)), offsets)


class Block(nn.Module):
    """``F(x) = norm(y + W_2 leaky_relu(W_1 y + b_1) + b_2)`` with ``y = norm(x + attention(x))``.

    Shape:
        x: (N, width); offsets: (B+1,)
        output: (N, width)

    Source:
        Chen et al., "Behavior Sequence Transformer", DLP-KDD 2019, eq. (3)-(5).
    """

    def __init__(self, width: int, config: TransformerConfig) -> None:
        super().__init__()
        inner = config.feedforward or width
        self.attention = SelfAttention(width, config.heads)
        self.feedforward = nn.Sequential(linear(width, inner), nn.LeakyReLU(), linear(inner, width))
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, offsets: Tensor) -> Tensor:
        """The steps after the block."""
        y = self.norms[0](x + self.dropout(self.attention(x, offsets)))
        return self.norms[1](y + self.dropout(self.feedforward(y)))  # type: ignore[no-any-return]


class Transformer(nn.Module):
    """Blocks, one after another.

    Shape:
        x: (N, width); offsets: (B+1,)
        output: (N, width)
    """

    def __init__(self, width: int, config: TransformerConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(width, config) for _ in range(config.layers)])

    def forward(self, x: Tensor, offsets: Tensor) -> Tensor:
        """The steps after the last block."""
        for block in self.blocks:
            x = block(x, offsets)
        return x
