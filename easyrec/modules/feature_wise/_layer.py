"""The contract of the family of layers over fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class FeatureWise(nn.Module):
    """From the fields of a group to fields of the same dims.

    Shape:
        input, output: (B, width), the fields side by side

    Args:
        config: The layer's config.
        dims: Width of each of the F fields; they may differ.
    """

    owner: Tensor | None

    def __init__(self, config: Any, dims: Sequence[int]) -> None:
        super().__init__()
        self.config, self.dims = config, tuple(dims)
        owner = torch.tensor([field for field, dim in enumerate(dims) for _ in range(dim)])
        self.register_buffer("owner", None if len(set(dims)) == 1 else owner, persistent=False)

    def sums(self, fields: Tensor) -> Tensor:
        """(B, F), the sum of each field's numbers."""
        if self.owner is None:
            return torch.unflatten(fields, 1, (len(self.dims), -1)).sum(dim=2)
        return fields.new_zeros((fields.shape[0], len(self.dims))).index_add(1, self.owner, fields)

    def scaled(self, fields: Tensor, weights: Tensor) -> Tensor:
        """(B, width), each field times its weight of (B, F)."""
        if self.owner is None:
            return (torch.unflatten(fields, 1, (len(self.dims), -1)) * weights.unsqueeze(2)).flatten(1)
        return fields * weights.index_select(1, self.owner)
