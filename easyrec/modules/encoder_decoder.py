"""An encoder of the tokens of each row, and a decoder that continues a few tokens after what the encoder made of them."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Seq
from easyrec.modules.cross_attention import attend_across
from easyrec.modules.dropout import Dropout
from easyrec.modules.mlp import linear
from easyrec.modules.transformer import BlockConfig, SelfAttention

Past = tuple[Tensor, Tensor]
"""Keys and values of the tokens before, (R, H, t, d) each."""


class EncoderDecoderConfig(BlockConfig):
    """Keys of an encoder and a decoder."""

    width: int = Field(128, gt=0)
    """D, the width of a token."""
    layers: int = Field(4, gt=0)
    """Blocks of the encoder."""
    decoder_layers: int = Field(4, gt=0)
    """Blocks of the decoder."""
    heads: int = Field(6, gt=0)
    """Heads of attention."""
    head_dim: int | None = Field(64, gt=0)
    """Dim of a head; null: all heads together are as wide as a token."""
    feedforward: int | None = Field(1024, gt=0)
    """Units inside the feed-forward part; null: the width of a token."""
    dropout: float = Field(0.1, ge=0.0, lt=1.0)
    """Probability of zeroing what attention and the feed-forward part add, while training."""


class Encoder(nn.Module):
    """``norm(x^N)`` of blocks ``x + attention(norm(x))``, ``x + FFN(norm(x))`` among the tokens of each row.

    ``norm(x) = g x / rms(x)``, ``FFN(x) = W_2 relu(W_1 x)``.

    Shape:
        x: (N, D); offsets: (B+1,)
        output: (N, D)

    Source:
        Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", JMLR 2020,
        section 2.1, without its biases of relative positions.
    """

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([_EncoderBlock(config) for _ in range(config.layers)])
        self.norm = RMSNorm(config.width)

    def forward(self, x: Tensor, offsets: Tensor) -> Tensor:
        """What each token becomes beside the others of its row."""
        for block in self.blocks:
            x = block(x, offsets)
        return self.norm(x)  # type: ignore[no-any-return]


class Decoder(nn.Module):
    """The same with attention to older tokens alone, and then to all that the encoder gave for the row.

    Shape:
        x: (R, T, D), R a multiple of B: as many sequences of T tokens for each row
        output: (R, T, D)

    Source:
        As for `Encoder`.
    """

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([_DecoderBlock(config) for _ in range(config.decoder_layers)])
        self.norm = RMSNorm(config.width)

    def memory(self, encoded: Seq) -> list[Seq]:
        """Keys and values of what the encoder gave, for each block: made once, whatever is written."""
        blocks = (block for block in self.blocks if isinstance(block, _DecoderBlock))
        return [Seq(block.across.keys_values(encoded.values), encoded.rows, encoded.offsets) for block in blocks]

    def forward(self, x: Tensor, memory: list[Seq], past: list[Past] | None = None) -> tuple[Tensor, list[Past]]:
        """What each token becomes, and the keys and values of all tokens so far.

        Args:
            x: The tokens; with a past one each, that comes behind it.
            memory: What `memory` gave.
            past: What former calls gave, of the tokens before.
        """
        kept: list[Past] = []
        for number, (block, seen) in enumerate(zip(self.blocks, memory, strict=True)):
            x, own = block(x, seen, None if past is None else past[number])
            kept.append(own)
        return self.norm(x), kept


class RMSNorm(nn.Module):
    """``g x / sqrt(mean(x^2) + eps)``.

    Shape:
        input, output: (..., D)

    Source:
        Zhang and Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019, eq. (4).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, input: Tensor) -> Tensor:
        """The input with a root mean square of 1, times the gain."""
        wide = input.float()
        return wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + 1e-6) * self.gain


class _EncoderBlock(nn.Module):
    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config.width, config.heads, dim=config.head_dim)
        self.feedforward = _feedforward(config)
        self.norms = nn.ModuleList([RMSNorm(config.width), RMSNorm(config.width)])
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, offsets: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.norms[0](x), offsets))
        return x + self.dropout(self.feedforward(self.norms[1](x)))  # type: ignore[no-any-return]


class _DecoderBlock(nn.Module):
    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        self.attention, self.across = _Written(config), _Across(config)
        self.feedforward = _feedforward(config)
        self.norms = nn.ModuleList([RMSNorm(config.width) for _ in range(3)])
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, seen: Seq, past: Past | None) -> tuple[Tensor, Past]:
        attended, kept = self.attention(self.norms[0](x), past)
        x = x + self.dropout(attended)
        x = x + self.dropout(self.across(self.norms[1](x), seen))
        return x + self.dropout(self.feedforward(self.norms[2](x))), kept


class _Written(nn.Module):
    """Attention of each token to itself and those before it."""

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        self.heads, self.dim = config.heads, _head_dim(config)
        self.projected = linear(config.width, 3 * self.heads * self.dim, bias=False)
        self.out = linear(self.heads * self.dim, config.width, bias=False)

    def forward(self, x: Tensor, past: Past | None) -> tuple[Tensor, Past]:
        split = torch.unflatten(self.projected(x), 2, (3, self.heads, self.dim))  # (R, T, 3, H, d)
        queries, keys, values = (part.transpose(1, 2) for part in split.unbind(2))  # (R, H, T, d) each
        if past is not None:
            keys, values = torch.cat([past[0], keys], dim=2), torch.cat([past[1], values], dim=2)
        scores = (queries * self.dim**-0.5) @ keys.transpose(2, 3)  # (R, H, T, t + T)
        if past is None:
            within = torch.arange(x.shape[1], device=x.device)
            scores = scores.masked_fill(within > within.unsqueeze(1), -torch.inf)
        attended = (torch.softmax(scores, dim=3) @ values).transpose(1, 2).flatten(2)
        return self.out(attended), (keys, values)


class _Across(nn.Module):
    """Attention of each token to what the encoder gave for its row."""

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        self.heads, self.dim = config.heads, _head_dim(config)
        self.query = linear(config.width, self.heads * self.dim, bias=False)
        self.projected = linear(config.width, 2 * self.heads * self.dim, bias=False)
        self.out = linear(self.heads * self.dim, config.width, bias=False)

    def keys_values(self, encoded: Tensor) -> Tensor:
        """(N, 2, H, d)."""
        return torch.unflatten(self.projected(encoded), 1, (2, self.heads, self.dim))

    def forward(self, x: Tensor, seen: Seq) -> Tensor:
        queries = torch.unflatten(self.query(x), 2, (self.heads, self.dim))  # (R, T, H, d)
        rows = seen.offsets.shape[0] - 1
        several = x.shape[0] // max(rows, 1) * x.shape[1] if not torch.compiler.is_exporting() else x.shape[1]
        attended = attend_across(queries.reshape(rows, several, self.heads, self.dim), seen)
        return self.out(attended.reshape(x.shape[0], x.shape[1], self.heads * self.dim))  # type: ignore[no-any-return]


def _feedforward(config: EncoderDecoderConfig) -> nn.Sequential:
    inner = config.feedforward or config.width
    first, second = linear(config.width, inner, bias=False), linear(inner, config.width, bias=False)
    return nn.Sequential(first, nn.ReLU(), Dropout(config.dropout), second)


def _head_dim(config: EncoderDecoderConfig) -> int:
    return config.head_dim or -(-config.width // config.heads)
