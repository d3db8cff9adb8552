"""Layers in which the dot products between the fields of a row weigh, without softmax."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from easyrec.modules.dropout import Dropout
from easyrec.modules.field_attention import projections
from easyrec.modules.mlp import exactly


class SelfProduct(nn.Module):
    """``o_n = sum_m <e_n, K e_m> w_nm + Q e_n`` (`weights`), or with ``e_n * e_m`` in place of w_nm (`products`).

    w_nm is a learned vector per pair of fields. A stack of layers multiplies its input many times, so they stay in
    float32 under autocast. Since ``sum_m s_nm (e_n * e_m) = e_n * sum_m s_nm e_m``, the products of
    all pairs are never there.

    Shape:
        fields, output: (B, F, D)

    Source:
        Cheng and Xue, "Looking at CTR Prediction Again: Is Attention All You Need?", SIGIR 2021, the blocks SAM3A and
        SAM3E.
    """

    def __init__(self, fields: int, dim: int, values: Literal["weights", "products"], dropout: float = 0.0) -> None:
        super().__init__()
        self.fields = fields
        self.maps = projections(dim, dim, 2)
        self.weights = nn.Parameter(torch.ones(fields, fields, dim)) if values == "weights" else None
        self.dropout = Dropout(dropout) if dropout else nn.Identity()

    def forward(self, fields: Tensor) -> Tensor:
        """The fields of the next layer."""
        with exactly(fields):
            fields = fields.float()
            mapped = torch.unflatten(self.maps(fields.flatten(0, 1)), 0, (-1, self.fields))  # (B, F, 2D)
            keys, kept = torch.chunk(mapped, 2, dim=2)
            scores = fields @ keys.transpose(1, 2)  # (B, F, F)
            if self.weights is None:
                found = fields * (scores @ fields)
            else:
                found = torch.bmm(scores.transpose(0, 1), self.weights).transpose(0, 1)
            return self.dropout(found + kept)  # type: ignore[no-any-return]
