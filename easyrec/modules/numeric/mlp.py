"""`mlp`: a layer of hidden units over the numbers of a field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.config.model import Init
from easyrec.config.numeric import NumericConfig
from easyrec.modules.numeric._embedding import NumericEmbedding


class Config(NumericConfig):
    """Config of `mlp`."""

    type: Literal["mlp"] = "mlp"
    hidden: int = Field(16, gt=0)
    """Hidden units of each field."""


class FieldMLP(NumericEmbedding):
    """``e = V relu(W x + b) + c`` of the vector x of a field's numbers.

    W and b start normal, so that the bends of the curve lie where normalised numbers lie.
    """

    def __init__(self, config: Config, sizes: Sequence[int], dim: int, init: Init) -> None:
        super().__init__(config, sizes, dim, init)
        self.first = nn.Parameter(torch.randn(sum(sizes), 1, config.hidden))
        self.bend = nn.Parameter(torch.randn(len(sizes), 1, config.hidden))
        self.table = self.vectors(len(sizes), config.hidden)
        self.bias = nn.Parameter(torch.zeros(len(sizes), 1, dim))

    def embed(self, values: Tensor) -> Tensor:
        """(F, B, D)."""
        hidden = torch.relu(self.per_field(values.unsqueeze(2) * self.first) + self.bend)  # (F, B, H)
        return torch.baddbmm(self.bias, hidden, self.table)
