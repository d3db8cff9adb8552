"""`periodic`: a layer over sines and cosines of the number."""

from __future__ import annotations

from collections.abc import Sequence
from math import pi
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.config.model import Init
from easyrec.config.numeric import NumericConfig
from easyrec.modules.numeric._embedding import NumericEmbedding


class Config(NumericConfig):
    """Config of `periodic`."""

    type: Literal["periodic"] = "periodic"
    frequencies: int = Field(16, gt=0)
    """Learned frequencies of each number."""
    sigma: float = Field(0.1, gt=0.0)
    """Standard deviation that the frequencies start with, in periods per unit of the number."""


class Periodic(NumericEmbedding):
    """``e = relu(W [sin v, cos v] + b)`` with ``v = 2 pi [c_1 x, .., c_k x]``, the form PLR.

    Source:
        Gorishniy et al., "On Embeddings for Numerical Features in Tabular Deep Learning", NeurIPS 2022, section 3.3.
    """

    def __init__(self, config: Config, sizes: Sequence[int], dim: int, init: Init) -> None:
        super().__init__(config, sizes, dim, init)
        self.frequencies = nn.Parameter(torch.randn(sum(sizes), 1, config.frequencies) * config.sigma)
        self.table = self.vectors(sum(sizes), 2 * config.frequencies)
        self.bias = nn.Parameter(torch.zeros(len(sizes), 1, dim))

    def embed(self, values: Tensor) -> Tensor:
        """(F, B, D)."""
        angles = values.unsqueeze(2) * (2.0 * pi * self.frequencies)  # (N, B, k)
        waves = torch.cat([torch.sin(angles), torch.cos(angles)], dim=2)  # (N, B, 2k)
        return torch.relu(self.per_field(torch.bmm(waves, self.table)) + self.bias)
