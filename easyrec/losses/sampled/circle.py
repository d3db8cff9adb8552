"""`circle`: cosines are pulled and pushed the more, the further they are from where they should be."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from easyrec.losses.sampled import SampledLossConfig
from easyrec.losses.sampled._loss import SampledLoss, others, own


class Config(SampledLossConfig):
    """Config of `circle`."""

    type: Literal["circle"] = "circle"
    margin: float = Field(0.25, gt=0.0)
    """m: the own item is to score above 1 - m, others below m."""
    gamma: float = Field(32.0, gt=0.0)
    """How steep the loss is."""


class Circle(SampledLoss):
    """``log(1 + sum_c exp(g a_c (z_c - m) - g a_y (z_y - 1 + m)))``, with ``a_c = max(0, z_c + m)``, ``a_y = max(0, 1 + m - z_y)``.

    The weights a are constants to the gradient. Made for cosines: `similarity: cosine` and `temperature: 1`.

    Source:
        Sun et al., "Circle Loss: A Unified Perspective of Pair Similarity Optimization", CVPR 2020, section 3.
    """

    def of_positions(self, logits: Tensor, columns: Tensor) -> Tensor:
        """(P,), the loss of each position."""
        margin, gamma = self.config.margin, self.config.gamma
        rest, mine = others(logits, columns), own(logits, columns)
        spared = rest == -torch.inf
        rest = rest.masked_fill(spared, 0.0)
        push = gamma * (rest + margin).clamp_min(0.0).detach() * (rest - margin)
        pull = gamma * (1.0 + margin - mine).clamp_min(0.0).detach() * (mine - 1.0 + margin)
        terms = (push - pull).masked_fill(spared, -torch.inf)
        return torch.logsumexp(torch.cat([torch.zeros_like(mine), terms], dim=1), dim=1)
