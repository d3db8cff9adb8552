"""`gate`: each field is let through as far as its own embedding says."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Literal

import torch
from torch import Tensor, nn

from easyrec.config.model import FeatureWiseConfig
from easyrec.modules.feature_wise._layer import FeatureWise


class Config(FeatureWiseConfig):
    """Config of `gate`."""

    type: Literal["gate"] = "gate"
    bitwise: bool = False
    """A gate for each number of a field, not one for the field."""


class Gate(FeatureWise):
    """``g_f e_f`` with ``g_f = sigmoid(w_f . e_f)``; bitwise ``g_f = sigmoid(W_f e_f)``, element by element.

    Source:
        Huang et al., "GateNet: Gating-Enhanced Deep Network for Click-Through Rate Prediction", 2020, the feature
        embedding gate.
    """

    def __init__(self, config: Config, dims: Sequence[int]) -> None:
        super().__init__(config, dims)
        self.runs = [(dim, len(list(run))) for dim, run in groupby(dims)] if config.bitwise else []
        self.matrices = nn.ParameterList(torch.randn(number, dim, dim) / dim**0.5 for dim, number in self.runs)
        self.weight = None if config.bitwise else nn.Parameter(torch.cat([torch.randn(dim) / dim**0.5 for dim in dims]))

    def forward(self, fields: Tensor) -> Tensor:
        """The gated fields."""
        if self.weight is not None:
            return self.scaled(fields, torch.sigmoid(self.sums(fields * self.weight)))
        gates = []
        parts = torch.split(fields, [dim * number for dim, number in self.runs], dim=1)
        for part, matrix, (dim, number) in zip(parts, self.matrices, self.runs, strict=True):
            of_field = torch.unflatten(part, 1, (number, dim)).transpose(0, 1)  # (F', B, D)
            gates.append(torch.bmm(of_field, matrix).transpose(0, 1).flatten(1))
        return fields * torch.sigmoid(gates[0] if len(gates) == 1 else torch.cat(gates, dim=1))
