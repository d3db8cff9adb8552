"""`gbce`: binary cross-entropy that undoes the overconfidence of sampled negatives."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from easyrec.losses.sampled import SampledLossConfig
from easyrec.losses.sampled._loss import SampledLoss, others, own


class Config(SampledLossConfig):
    """Config of `gbce`."""

    type: Literal["gbce"] = "gbce"
    calibration: float = Field(0.75, ge=0.0, le=1.0)
    """t: 0 is `bce`, 1 makes scores probabilities."""


class GBCE(SampledLoss):
    """``-beta log s(z_y) - sum_c log(1 - s(z_c))`` with ``beta = 1 - t (1 - a)``.

    a is the share of the other items that are a position's candidates; beta is ``a (t (1 - 1/a) + 1/a)``.

    Source:
        Petrov and Macdonald, "gSASRec: Reducing Overconfidence in Sequential Recommendation Trained with Negative
        Sampling", RecSys 2023, eq. (15) and (28).
    """

    def of_positions(self, logits: Tensor, columns: Tensor) -> Tensor:
        """(P,), the loss of each position."""
        rest = others(logits, columns)
        share = (rest.isfinite().sum(1) / max(self.items - 1, 1)).clamp_max(1.0)
        beta = 1 - self.config.calibration * (1 - share)
        loss: Tensor = beta * F.softplus(-own(logits, columns)).squeeze(1) + F.softplus(rest).sum(1)
        return loss
