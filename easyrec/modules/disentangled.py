"""Self-attention that keeps apart what a pair of fields says and what a field says alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from easyrec.modules.attention import attention_mix, attention_weights
from easyrec.modules.dropout import Dropout
from easyrec.modules.field_attention import AttentionConfig, projections
from easyrec.modules.mlp import linear


class DisentangledAttention(nn.Module):
    """``[head_1 .. head_H] + R e + b`` with ``head_hi = sum_j (softmax_j((q_i - mean q) . k_j / s) + softmax_j(u . e_j)) v_j``.

    The paper also takes the mean off the keys; the softmax over them is the same without it. For the same reason q, k
    and u have no biases, and b stands for those of v and R. s is the root of the head's width with `scale`, else 1.

    Shape:
        input: (B * fields, width), the fields of a row one after another
        output: (B * fields, attention_dim)

    Source:
        Xu et al., "Disentangled Self-Attentive Neural Networks for Click-Through Rate Prediction", CIKM 2021, eq. (4)-(10).
    """

    def __init__(self, width: int, fields: int, config: AttentionConfig, *, residual: bool) -> None:
        super().__init__()
        self.fields, self.config, units = fields, config, config.attention_dim
        self.queries_keys = projections(width, units, 2)
        self.values = projections(width, units, 2 if residual else 1)  # then R
        self.unary = linear(width, config.heads, bias=False)
        self.bias = nn.Parameter(torch.zeros(units))
        self.dropout = Dropout(config.attention_dropout) if config.attention_dropout else None

    def forward(self, input: Tensor) -> Tensor:
        """The fields after attention."""
        config, maps = self.config, self.queries_keys(input)
        pairs = attention_weights(maps, self.fields, config.heads, scale=config.scale, centred=True)  # (B, heads, F, F)
        alone = torch.softmax(torch.unflatten(self.unary(input), 0, (-1, self.fields)), dim=1)  # (B, F, heads)
        weights = pairs + alone.transpose(1, 2).unsqueeze(2)
        if self.dropout is not None:
            weights = self.dropout(weights)
        return attention_mix(weights, self.values(input), config.attention_dim) + self.bias
