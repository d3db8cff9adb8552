"""`multi_similarity`: pulls the own item, pushes those others that are nearly as near."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from easyrec.losses.sampled import SampledLossConfig
from easyrec.losses.sampled._loss import SampledLoss, others, own


class Config(SampledLossConfig):
    """Config of `multi_similarity`."""

    type: Literal["multi_similarity"] = "multi_similarity"
    alpha: float = Field(2.0, gt=0.0)
    """How steeply the own item is pulled."""
    beta: float = Field(50.0, gt=0.0)
    """How steeply others are pushed."""
    threshold: float = 1.0
    """l, the similarity from which on the pull ends and the push begins."""
    mining: float | None = 0.1
    """Others count that come nearer than the own item less this; null: all of them."""


class MultiSimilarity(SampledLoss):
    """``log(1 + exp(-a (z_y - l))) / a + log(1 + sum_c exp(b (z_c - l))) / b``, over others with ``z_c > z_y - mining``.

    Made for cosines: `similarity: cosine` and `temperature: 1`.

    Source:
        Wang et al., "Multi-Similarity Loss with General Pair Weighting for Deep Metric Learning", CVPR 2019, section 4;
        each position has one positive here, which mining keeps.
    """

    def of_positions(self, logits: Tensor, columns: Tensor) -> Tensor:
        """(P,), the loss of each position."""
        config, rest, mine = self.config, others(logits, columns), own(logits, columns)
        if config.mining is not None:
            rest = rest.masked_fill(rest <= (mine - config.mining).detach(), -torch.inf)
        pull: Tensor = F.softplus(-config.alpha * (mine - config.threshold)).squeeze(1) / config.alpha
        terms = torch.cat([torch.zeros_like(mine), config.beta * (rest - config.threshold)], dim=1)
        push: Tensor = torch.logsumexp(terms, dim=1) / config.beta
        return pull + push
