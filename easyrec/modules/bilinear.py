"""Products of pairs of fields with a matrix between them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Kind = Literal["all", "each", "interaction"]


class Bilinear(nn.Module):
    """``(e_i W) * e_j`` of all pairs i < j; with `inner` their sums over the dimensions.

    One matrix serves all pairs, each field i has its own, or each pair (interaction).

    Shape:
        fields: (B, F, D)
        output: (B, F (F - 1) / 2, D), or (B, F (F - 1) / 2) with `inner`; pairs in the order (1, 2), (1, 3) .. (F - 1, F)

    Source:
        Huang et al., "FiBiNET", RecSys 2019, section 3.3; `inner`: Zhang et al., "FiBiNet++", CIKM 2023, eq. (5).
    """

    left: Tensor
    right: Tensor

    def __init__(self, fields: int, dim: int, kind: Kind, *, inner: bool = False) -> None:
        super().__init__()
        self.kind, self.inner = kind, inner
        left, right = torch.triu_indices(fields, fields, offset=1)
        self.register_buffer("left", left, persistent=False)
        self.register_buffer("right", right, persistent=False)
        # The last field is never on the left, so `each` needs no matrix for it.
        count = {"all": 1, "each": max(fields - 1, 1), "interaction": len(left)}[kind]
        self.weight = nn.Parameter(torch.empty(count, dim, dim))
        for matrix in self.weight.detach():
            nn.init.xavier_normal_(matrix)

    def forward(self, fields: Tensor) -> Tensor:
        """The products."""
        if self.kind == "interaction":
            columns = fields.transpose(0, 1)  # (F, B, D)
            mapped = torch.bmm(columns.index_select(0, self.left), self.weight).transpose(0, 1)  # (B, pairs, D)
            products = mapped * fields.index_select(1, self.right)
            return products.sum(dim=2) if self.inner else products
        if self.kind == "all":
            mapped = fields @ self.weight[0]  # (B, F, D)
        else:
            mapped = torch.bmm(fields[:, : len(self.weight)].transpose(0, 1), self.weight).transpose(0, 1)
        if self.inner:
            dots = torch.bmm(mapped, fields.transpose(1, 2).to(mapped.dtype)).flatten(1)
            return dots.index_select(1, self.left * fields.shape[1] + self.right)
        return mapped.index_select(1, self.left) * fields.index_select(1, self.right)
