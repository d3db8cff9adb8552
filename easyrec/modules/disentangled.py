"""Self-attention that keeps apart what a pair of fields says and what a field says alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from easyrec.modules.dropout import Dropout
from easyrec.modules.field_attention import AttentionConfig, projections
from easyrec.modules.mlp import linear


class DisentangledAttention(nn.Module):
    """``[head_1 .. head_H] + R e + b`` with ``head_hi = sum_j (softmax_j((q_i - mean q) . k_j / s) + softmax_j(u . e_j)) v_j``.

    The paper also takes the mean off the keys; the softmax over them is the same without it. For the same reason q, k
    and u have no biases, and b stands for those of v and R. s is the root of the head's width with `scale`, else 1.

    Shape:
        input: (B, F, width)
        output: (B, F, attention_dim)

    Source:
        Xu et al., "Disentangled Self-Attentive Neural Networks for Click-Through Rate Prediction", CIKM 2021, eq. (4)-(10).
    """

    def __init__(self, width: int, config: AttentionConfig, *, residual: bool) -> None:
        super().__init__()
        self.config, units = config, config.attention_dim
        self.maps = projections(width, units, 4 if residual else 3)
        self.unary = linear(width, config.heads, bias=False)
        self.bias = nn.Parameter(torch.zeros(units))
        self.dropout = Dropout(config.attention_dropout) if config.attention_dropout else None

    def forward(self, input: Tensor) -> Tensor:
        """The fields after attention."""
        fields, heads = input.shape[1], self.config.heads
        flat = input.flatten(0, 1)
        query, key, value, *mapped = (
            torch.unflatten(part, 0, (-1, fields))
            for part in torch.split(self.maps(flat), self.config.attention_dim, 1)
        )  # (B, F, attention_dim)
        query = query - query.mean(dim=1, keepdim=True)
        query, key, value = (torch.unflatten(t, 2, (heads, -1)).transpose(1, 2) for t in (query, key, value))
        if self.config.scale:
            query = query * query.shape[3] ** -0.5
        pairs = torch.softmax(query @ key.transpose(2, 3), dim=3)  # (B, heads, F, F)
        alone = torch.softmax(torch.unflatten(self.unary(flat), 0, (-1, fields)), dim=1)  # (B, F, heads)
        weights = pairs + alone.transpose(1, 2).unsqueeze(2)
        if self.dropout is not None:
            weights = self.dropout(weights)
        output = (weights.to(value.dtype) @ value).transpose(1, 2).flatten(2) + self.bias
        return output + mapped[0] if mapped else output
