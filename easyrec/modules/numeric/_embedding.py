"""The contract of the family of numeric embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from easyrec.config.model import Init, UniformInit, XavierInit
from easyrec.modules.mlp import exactly


class NumericEmbedding(nn.Module):
    """From the numbers of F fields to one embedding each; fields share nothing but the work.

    A kind defines `embed`. It runs in float32, also under autocast: numbers do not survive bfloat16.

    Shape:
        values: (B, N), the numbers of all fields side by side
        output: (B, F, D)

    Args:
        config: The kind's config.
        sizes: How many numbers each field has; N is their sum.
        dim: D.
        init: How the vectors start: like the rows of tables, or they would drown them at first.
    """

    owner: Tensor | None

    def __init__(self, config: Any, sizes: Sequence[int], dim: int, init: Init) -> None:
        super().__init__()
        self.config, self.sizes, self.dim, self.init = config, tuple(sizes), dim, init
        owner = torch.tensor([field for field, size in enumerate(sizes) for _ in range(size)])
        self.register_buffer("owner", None if max(sizes) == 1 else owner, persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """The embeddings."""
        with exactly(values):
            return self.embed(values.t().float()).transpose(0, 1)

    def embed(self, values: Tensor) -> Tensor:
        """(F, B, D) of numbers (N, B)."""
        raise TypeError(f"{type(self).__name__} must define embed")

    def per_field(self, values: Tensor) -> Tensor:
        """(F, B, n), what the numbers of a field (N, B, n) make together: their sum."""
        if self.owner is None:
            return values
        zeros = values.new_zeros((len(self.sizes), values.shape[1], values.shape[2]))
        return zeros.index_add(0, self.owner, values)

    def vectors(self, number: int, rows: int) -> nn.Parameter:
        """(number, rows, D), started as tables of that many rows are."""
        weight = torch.empty(number, rows, self.dim)
        if isinstance(self.init, UniformInit):
            nn.init.uniform_(weight, -self.init.bound, self.init.bound)
        else:
            std = (2.0 / (rows + self.dim)) ** 0.5 if isinstance(self.init, XavierInit) else self.init.std
            nn.init.normal_(weight, std=std)
        return nn.Parameter(weight)
