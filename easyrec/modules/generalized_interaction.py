"""The generalized interaction network of AOANet."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GeneralizedInteraction(nn.Module):
    """``y_o = sum_ij a_ijo ((e_i x_j') * W_o) h_o`` for each subspace o: weighted outer products, summed by columns.

    ``(e x' * W) h = e * (W diag(h)) x``, so that no outer product is laid out. Starts with all weights 1 and W = 1 on
    the diagonal: every y is the product of the sums of e and x.

    Shape:
        fields: (B, F, D), the e
        input: (B, before, D), the x
        output: (B, subspaces, D)

    Source:
        Lang et al., "Architecture and Operation Adaptive Network for Online Recommendations", KDD 2021, section 3.3.
    """

    def __init__(self, fields: int, before: int, subspaces: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(fields, before, subspaces))
        self.matrix = nn.Parameter(torch.eye(dim).repeat(subspaces, 1, 1))
        self.columns = nn.Parameter(torch.ones(subspaces, dim))

    def forward(self, fields: Tensor, input: Tensor) -> Tensor:
        """The subspaces."""
        before, subspaces = self.weight.shape[1:]
        maps = (self.matrix * self.columns.unsqueeze(1)).flatten(0, 1)  # (subspaces * D, D)
        mapped = torch.unflatten(nn.functional.linear(input, maps), 2, (subspaces, -1))  # (B, before, subspaces, D)
        mixed = fields.transpose(1, 2) @ self.weight.flatten(1)  # (B, D, before * subspaces)
        mixed = torch.unflatten(mixed.transpose(1, 2), 1, (before, subspaces))
        return (mixed * mapped).sum(dim=1)
