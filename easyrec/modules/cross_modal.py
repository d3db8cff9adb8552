"""Attention from the fields of one modality to those of another."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from easyrec.modules.dropout import Dropout
from easyrec.modules.field_attention import AttentionConfig, attention, projections
from easyrec.modules.mlp import linear


class CrossModal(nn.Module):
    """``relu(a + [head_1 .. head_H])`` with ``head_h = softmax(Q_h a (K_h b)' / s) V_h b``: each field of a asks all of b.

    s is the root of the head's width with `scale`, else 1.

    Shape:
        a: (B * fields, attention_dim); b: (B * asked, attention_dim)
        output: (B * fields, attention_dim)

    Source:
        Chen et al., "CMBF: Cross-Modal-Based Fusion Recommendation Algorithm", Sensors 2021, section 3.3.
    """

    def __init__(self, fields: int, asked: int, config: AttentionConfig) -> None:
        super().__init__()
        self.fields, self.asked, self.config = fields, asked, config
        self.query = linear(config.attention_dim, config.attention_dim, bias=False)
        self.maps = projections(config.attention_dim, config.attention_dim, 2)
        self.dropout = Dropout(config.attention_dropout) if config.attention_dropout else None

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """The fields of a, each with what it found in b."""
        key, value = torch.split(self.maps(b), self.config.attention_dim, dim=1)
        config = self.config
        found = attention(
            self.query(a), key, value, self.fields, config.heads,
            scale=config.scale, dropout=self.dropout, asked=self.asked,
        )  # fmt: skip
        return torch.relu(a + found)
