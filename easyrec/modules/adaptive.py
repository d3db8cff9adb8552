"""Layers whose weights are made for each row."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.modules.mlp import MLP, Layers, LayersConfig, MLPConfig, linear
from feature_generator.config import StrictModel


class AdaptiveConfig(StrictModel):
    """Keys of layers whose weights are made for each row."""

    rank: int = Field(16, gt=0)
    """Rows and columns of the matrix that is made for a row, inside each layer."""
    wide: int | None = Field(None, gt=0)
    """The shared matrices are products through so many dims, at least `rank`; omitted: they are single."""
    generator: Layers = LayersConfig(hidden=[])
    """Layers from the condition to the one that gives a row's matrix; a list is their `hidden`."""


class AdaptiveLinear(nn.Module):
    """``U S(c) V x + b`` with a matrix S, rank x rank, that a generator makes of the row's condition c.

    U and V are shared by all rows, each a product of two matrices with `wide`. S starts near the identity.

    Shape:
        input: (B, width)
        condition: (B, condition width)
        output: (B, units)

    Source:
        Yan et al., "APG: Adaptive Parameter Generation Network for Click-Through Rate Prediction", NeurIPS 2022,
        eq. (2)-(6).
    """

    def __init__(self, width: int, units: int, condition: int, config: AdaptiveConfig) -> None:
        super().__init__()
        rank, wide = config.rank, config.wide
        self.rank = rank
        self.down = nn.ModuleList(linear(a, b, bias=False) for a, b in _steps(width, wide, rank))
        self.up = nn.ModuleList(linear(a, b, bias=False) for a, b in _steps(rank, wide, units))
        self.bias = nn.Parameter(torch.zeros(units))
        self.generator = MLP(condition, config.generator)
        self.matrix = linear(self.generator.out, rank * rank)
        with torch.no_grad():
            self.matrix.bias.copy_(torch.eye(rank).flatten())

    def forward(self, input: Tensor, condition: Tensor) -> Tensor:
        """The layer of each row."""
        matrix = torch.unflatten(self.matrix(self.generator(condition)), 1, (self.rank, self.rank))
        hidden = torch.bmm(matrix, self._through(self.down, input).to(matrix.dtype).unsqueeze(2)).squeeze(2)
        return self._through(self.up, hidden) + self.bias

    @staticmethod
    def _through(layers: nn.ModuleList, input: Tensor) -> Tensor:
        for layer in layers:
            input = layer(input)
        return input


def _steps(width: int, between: int | None, units: int) -> list[tuple[int, int]]:
    return [(width, units)] if between is None else [(width, between), (between, units)]


class AdaptiveMLP(nn.Module):
    """The layers of `MLP` with `AdaptiveLinear` in place of ``W x + b``.

    Shape:
        input: (B, width)
        condition: (B, condition width), or None: each layer's own input
        output: (B, hidden[-1]); `out` is that width
    """

    def __init__(self, width: int, condition: int | None, config: MLPConfig, adaptive: AdaptiveConfig) -> None:
        super().__init__()
        self.layers = MLP(width, config, lambda a, b: AdaptiveLinear(a, b, condition or a, adaptive))
        self.out = self.layers.out

    def forward(self, input: Tensor, condition: Tensor | None = None) -> Tensor:
        """The last layer."""
        for layer in self.layers:
            if isinstance(layer, AdaptiveLinear):
                input = layer(input, input if condition is None else condition)
            else:
                input = layer(input)
        return input
