"""`Transformer`: the encoder of BERT, RoBERTa and XLM-RoBERTa, to be run and not to be trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.functional import gelu, layer_norm

from easyrec.llm.encoders.shape import Shape


class Layer(nn.Module):
    """Attention and a feed-forward net, each added to what came in and normalised.

    Shape:
        states: (n, L, D)
        allowed: (n, 1, 1, L) bool, or None where nothing is padded
        output: (n, L, D)
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        d, inner = shape.hidden_size, shape.intermediate_size
        self.heads, self.eps = shape.num_attention_heads, shape.layer_norm_eps
        self.qkv = nn.Linear(d, 3 * d)
        self.out = nn.Linear(d, d)
        self.norm = nn.LayerNorm(d, self.eps)
        self.up = nn.Linear(d, inner)
        self.down = nn.Linear(inner, d)
        self.last = nn.LayerNorm(d, self.eps)

    def forward(self, states: Tensor, allowed: Tensor | None) -> Tensor:
        """One layer."""
        n, length, d = states.shape
        split = self.qkv(states).view(n, length, 3, self.heads, d // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)  # (n, H, L, D / H)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
        states = _normed(states + self.out(mixed.transpose(1, 2).reshape(n, length, d)), self.norm)
        return _normed(states + self.down(gelu(self.up(states))), self.last)


def _normed(states: Tensor, norm: nn.LayerNorm) -> Tensor:
    """Layer normalisation in fp32, whatever the rest is computed in."""
    weight, bias = norm.weight.float(), norm.bias.float()
    return layer_norm(states.float(), norm.normalized_shape, weight, bias, norm.eps).to(states.dtype)


class Transformer(nn.Module):
    """States of tokens.

    Shape:
        ids: (n, L) int64
        kinds: (n, L) int64, 0 for the first text of a pair and 1 for the second
        lengths: (n,) int64
        output: (n, L, D); behind a text's length it means nothing

    Source:
        Devlin et al., "BERT", NAACL 2019; Liu et al., "RoBERTa", 2019 (positions begin behind that of padding).
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        d = shape.hidden_size
        self.first = shape.first_position
        self.words = nn.Embedding(shape.vocab_size, d)
        self.positions = nn.Embedding(shape.max_position_embeddings, d)
        self.kinds = nn.Embedding(shape.type_vocab_size, d)
        self.norm = nn.LayerNorm(d, shape.layer_norm_eps)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.num_hidden_layers))

    def forward(self, ids: Tensor, kinds: Tensor, lengths: Tensor) -> Tensor:
        """All layers."""
        places = torch.arange(ids.shape[1], device=ids.device)
        states = self.words(ids) + self.positions(places + self.first) + self.kinds(kinds)
        states = _normed(states, self.norm)
        padded = bool((lengths < ids.shape[1]).any())
        allowed = (places < lengths[:, None])[:, None, None, :] if padded else None
        for layer in self.layers:
            states = layer(states, allowed)
        out: Tensor = states
        return out
