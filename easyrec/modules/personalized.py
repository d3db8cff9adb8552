"""Gates that scale hidden units by who and what a row is about: GateNU of PEPNet."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.modules.experts import Experts
from easyrec.modules.mlp import Layers, LayersConfig, linear
from feature_generator.config import StrictModel


class GatedConfig(StrictModel):
    """Keys of gated towers."""

    gate_hidden: int = Field(64, gt=0)
    """Width of the hidden layer of a gate."""
    tower: Layers = LayersConfig(hidden=[128, 64])
    """Layers of each task's tower; gates scale the input of each, and of the logits."""


class GateNU(nn.Module):
    """``2 s(W' relu(W x + b) + b')`` with the sigmoid s: factors that start near 1.

    Shape:
        input: (B, width)
        output: (B, units)

    Source:
        Chang et al., "PEPNet", KDD 2023, section 3.1.
    """

    def __init__(self, width: int, hidden: int, units: int) -> None:
        super().__init__()
        self.inner, self.outer = linear(width, hidden), linear(hidden, units)

    def forward(self, input: Tensor) -> Tensor:
        """The factors."""
        return 2.0 * torch.sigmoid(self.outer(torch.relu(self.inner(input))))


class GatedTowers(nn.Module):
    """A tower per task over one input, scaled by a gate before its first layer and after each.

    The gates read the prior and the input, which they do not move.

    Shape:
        input: (B, width); prior: (B, prior)
        output: (B, T, tower.hidden[-1]), or the input's width without layers; that width is `out`

    Source:
        Chang et al., "PEPNet", KDD 2023, section 3.3.
    """

    def __init__(self, tasks: int, width: int, prior: int, config: GatedConfig) -> None:
        super().__init__()
        self.towers = Experts(tasks, width, config.tower)
        self.shapes = [(tasks, units) for units in self.towers.widths]
        self.gates = nn.ModuleList(GateNU(width + prior, config.gate_hidden, tasks * units) for _, units in self.shapes)
        self.out = self.towers.out

    def forward(self, input: Tensor, prior: Tensor) -> Tensor:
        """The towers' last layers, scaled."""
        about = torch.cat([prior, input.detach()], dim=1)  # (B, prior + width)
        *gates, last = [
            torch.unflatten(gate(about), 1, shape) for gate, shape in zip(self.gates, self.shapes, strict=True)
        ]
        found: Tensor = self.towers(input, gates) * last
        return found
