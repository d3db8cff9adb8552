"""A transformer over the steps of each row."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.modules.dropout import Dropout
from easyrec.modules.jagged_attention import attend
from easyrec.modules.mlp import linear
from feature_generator.config import StrictModel


class BlockConfig(StrictModel):
    """Keys of a transformer's block."""

    heads: int = Field(4, gt=0)
    """Heads of attention; their dims add up to the width of a step, or to a little more where it is not divisible."""
    feedforward: int | None = Field(None, gt=0)
    """Units inside the feed-forward part; null: the width of a step."""
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Probability of zeroing what attention and the feed-forward part add, while training."""


class TransformerConfig(BlockConfig):
    """Keys of a transformer."""

    layers: int = Field(1, gt=0)
    """Blocks, one after another."""


class Heads(nn.Module):
    """``softmax(Q_h K_h' / sqrt(d)) V_h`` among the steps of each row, with projections Q, K and V for each head h.

    Without `dim` the d of all heads add up to the width of a step, or to a little more where they do not divide it. With
    `causal` a step sees none that is newer than itself.

    Shape:
        x: (N, width); offsets: (B+1,)
        output: (N, H, d)

    Source:
        Vaswani et al., "Attention Is All You Need", NIPS 2017, eq. (1).
    """

    def __init__(self, width: int, count: int, *, causal: bool = False, dim: int | None = None) -> None:
        super().__init__()
        self.count, self.dim, self.causal = count, dim or -(-width // count), causal
        self.projected = linear(width, 3 * count * self.dim, bias=False)

    def forward(self, x: Tensor, offsets: Tensor) -> Tensor:
        """What each head makes of each step."""
        projected = torch.unflatten(self.projected(x), 1, (3, self.count, self.dim))
        return attend(projected, offsets, causal=self.causal)


class SelfAttention(nn.Module):
    """``[head_1 .. head_H] W``.

    Shape:
        x: (N, width); offsets: (B+1,)
        output: (N, width)

    Source:
        Vaswani et al., "Attention Is All You Need", NIPS 2017, section 3.2.2.
    """

    def __init__(self, width: int, heads: int, *, causal: bool = False, dim: int | None = None) -> None:
        super().__init__()
        self.heads = Heads(width, heads, causal=causal, dim=dim)
        self.out = linear(heads * self.heads.dim, width, bias=False)

    def forward(self, x: Tensor, offsets: Tensor) -> Tensor:
        """The steps, each a mixture of those of its row."""
        return self.out(self.heads(x, offsets).flatten(1))  # type: ignore[no-any-return]


class Block(nn.Module):
    """``F(x) = norm(y + W_2 f(W_1 y + b_1) + b_2)`` with ``y = norm(x + attention(x))``, and f a leaky ReLU.

    With `causal` attention sees no newer steps; `activation` takes the place of f.

    Shape:
        x: (N, width); offsets: (B+1,)
        output: (N, width)

    Source:
        Chen et al., "Behavior Sequence Transformer", DLP-KDD 2019, eq. (3)-(5).
    """

    def __init__(
        self, width: int, config: BlockConfig, *, causal: bool = False, activation: type[nn.Module] = nn.LeakyReLU
    ) -> None:
        super().__init__()
        inner = config.feedforward or width
        self.attention = SelfAttention(width, config.heads, causal=causal)
        self.feedforward = nn.Sequential(linear(width, inner), activation(), linear(inner, width))
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

    def __init__(self, width: int, config: TransformerConfig, *, activation: type[nn.Module] = nn.LeakyReLU) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(width, config, activation=activation) for _ in range(config.layers)])

    def forward(self, x: Tensor, offsets: Tensor) -> Tensor:
        """The steps after the last block."""
        for block in self.blocks:
            x = block(x, offsets)
        return x
