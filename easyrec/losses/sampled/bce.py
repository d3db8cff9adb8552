"""`bce`: the own item is a click, every other candidate none."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from easyrec.losses.sampled import SampledLossConfig
from easyrec.losses.sampled._loss import SampledLoss, others, own


class Config(SampledLossConfig):
    """Config of `bce`."""

    type: Literal["bce"] = "bce"
    average: bool = False
    """Weigh the others as much as one: their mean in place of their sum."""


class BCE(SampledLoss):
    """``-log s(z_y) - sum_c log(1 - s(z_c))``.

    Source:
        Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018, section 3.5.
    """

    def of_positions(self, logits: Tensor, columns: Tensor) -> Tensor:
        """(P,), the binary cross-entropies of each position."""
        rest = others(logits, columns)
        costs = F.softplus(rest).sum(1)
        if self.config.average:
            costs = costs / rest.isfinite().sum(1).clamp_min(1)
        return F.softplus(-own(logits, columns)).squeeze(1) + costs
