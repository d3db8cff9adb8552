"""`senet`: each field is weighted by what all fields together look like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from easyrec.config.model import FeatureWiseConfig
from easyrec.modules.activation import activation
from easyrec.modules.feature_wise._layer import FeatureWise
from easyrec.modules.mlp import linear


class Config(FeatureWiseConfig):
    """Config of `senet`."""

    type: Literal["senet"] = "senet"
    reduction: int = Field(3, gt=0)
    """The inner layer has F / reduction units."""
    activation: Literal["sigmoid", "relu"] = "sigmoid"
    """Of the weights: a sigmoid as Hu et al. have it, or ReLU as the authors of FiBiNET do."""


class SENet(FeatureWise):
    """``a_f e_f`` with ``a = act(W_2 relu(W_1 z))``, where z_f is the mean of the numbers of the field e_f.

    Source:
        Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018, eq. (2)-(4); for fields: Huang et al., "FiBiNET",
        RecSys 2019, section 3.2.
    """

    per_number: Tensor

    def __init__(self, config: Config, dims: Sequence[int]) -> None:
        super().__init__(config, dims)
        inner = max(1, len(dims) // config.reduction)
        self.squeeze = linear(len(dims), inner, bias=False)
        self.excite = linear(inner, len(dims), bias=False)
        self.activation = activation(config.activation, len(dims))
        self.register_buffer("per_number", 1.0 / torch.tensor(dims, dtype=torch.float32), persistent=False)

    def forward(self, fields: Tensor) -> Tensor:
        """The weighted fields."""
        squeezed = torch.relu(self.squeeze(self.sums(fields) * self.per_number))  # (B, F / r)
        return self.scaled(fields, self.activation(self.excite(squeezed)))
