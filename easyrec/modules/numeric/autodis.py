"""`autodis`: a mixture of vectors, whose shares the number decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from easyrec.config.model import Init
from easyrec.config.numeric import NumericConfig
from easyrec.modules.numeric._embedding import NumericEmbedding


class Config(NumericConfig):
    """Config of `autodis`."""

    type: Literal["autodis"] = "autodis"
    buckets: int = Field(20, ge=2)
    """Vectors that a number mixes."""
    temperature: float = Field(0.1, gt=0.0)
    """Of the shares: near 0 a number takes one vector, which its sign alone decides."""
    skip: float = Field(0.8, ge=0.0)
    """Weight of the first layer beside the second."""


class AutoDis(NumericEmbedding):
    """``e = p(x) M`` with ``p = softmax((W h + s h) / t)`` and ``h = leaky_relu(w x)``, for H vectors M of each number.

    Source:
        Guo et al., "An Embedding Learning Framework for Numerical Features in CTR Prediction", KDD 2021, eq. (3)-(7).
    """

    def __init__(self, config: Config, sizes: Sequence[int], dim: int, init: Init) -> None:
        super().__init__(config, sizes, dim, init)
        numbers, buckets = sum(sizes), config.buckets
        self.first = nn.Parameter(torch.randn(numbers, 1, buckets))
        self.second = nn.Parameter(torch.randn(numbers, buckets, buckets) / buckets**0.5)
        self.table = self.vectors(numbers, buckets)

    def embed(self, values: Tensor) -> Tensor:
        """(F, B, D)."""
        hidden = F.leaky_relu(values.unsqueeze(2) * self.first)  # (N, B, H)
        sharpness = 1.0 / self.config.temperature
        scores = torch.baddbmm(hidden, hidden, self.second, beta=sharpness * self.config.skip, alpha=sharpness)
        return self.per_field(torch.bmm(torch.softmax(scores, dim=2), self.table))
