"""Squeeze and excitation: fields weighted by what all fields together look like."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from easyrec.modules.mlp import linear


class SqueezeExcitation(nn.Module):
    """``a_i e_i`` with ``a = relu(W_2 relu(W_1 z))``, where z_i is the mean of the numbers of e_i.

    Shape:
        fields, output: (B, F, D)

    Source:
        Huang et al., "FiBiNET", RecSys 2019, eq. (1)-(3).
    """

    def __init__(self, fields: int, reduction: int) -> None:
        super().__init__()
        inner = max(1, fields // reduction)
        self.squeeze, self.excite = linear(fields, inner, bias=False), linear(inner, fields, bias=False)

    def forward(self, fields: Tensor) -> Tensor:
        """The weighted fields."""
        weights = torch.relu(self.excite(torch.relu(self.squeeze(fields.mean(dim=2)))))  # (B, F)
        return fields * weights.unsqueeze(2)


class SqueezeExcitationPlus(nn.Module):
    """``norm(e * a + e)`` with a weight for every number: ``a = W_2 relu(W_1 z)``, z the mean and maximum of parts of e_i.

    Each field is normalised over its dimensions; all share scale and shift.

    Shape:
        fields, output: (B, F, D)

    Args:
        fields: F.
        dim: D.
        groups: Parts into which a field is cut; divides D.
        reduction: Width of z over that of the layer between.

    Source:
        Zhang et al., "FiBiNet++", CIKM 2023, eq. (7)-(11).
    """

    def __init__(self, fields: int, dim: int, groups: int, reduction: int) -> None:
        super().__init__()
        self.groups = groups
        inner = max(1, 2 * groups * fields // reduction)
        self.squeeze = linear(2 * groups * fields, inner, bias=False)
        self.excite = linear(inner, fields * dim, bias=False)
        self.norm = nn.LayerNorm(dim)

    def forward(self, fields: Tensor) -> Tensor:
        """The weighted fields."""
        parts = torch.unflatten(fields, 2, (self.groups, -1))  # (B, F, groups, D / groups)
        squeezed = torch.cat([parts.mean(dim=3).flatten(1), parts.amax(dim=3).flatten(1)], dim=1)
        weights = torch.unflatten(self.excite(torch.relu(self.squeeze(squeezed))), 1, fields.shape[1:])
        return self.norm(torch.addcmul(fields, fields, weights.to(fields.dtype)))  # type: ignore[no-any-return]
