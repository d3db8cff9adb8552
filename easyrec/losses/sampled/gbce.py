"""`gbce`: binary cross-entropy that undoes the overconfidence of sampled negatives."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from easyrec.losses.sampled import SampledLossConfig
from easyrec.losses.sampled._loss import SampledLoss, others, own


class Config(SampledLossConfig):
    """Config of `gbce`."""

    type: Literal["gbce"] = "gbce"
    calibration: float = Field(0.75, ge=0.0, le=1.0)
    """t: 0 is `bce`, 1 makes `s(z + b)` a probability."""
    bias: float = 0.0
    """b, added to every score. About ``log(beta / k)`` training starts where chance would be, and needs no vector to say that
    nearly all candidates are none. The order of items is the same with it and without."""
    negatives: int | None = Field(None, gt=0)
    """k: the loss that so many drawn negatives would give in expectation, k times the mean over all candidates. Default: as many
    as there are candidates. A batch that shares its candidates wants more of them: every step moves all of them alike."""


class GBCE(SampledLoss):
    """``-beta log s(z_y + b) - k / n sum_c log(1 - s(z_c + b))`` over n candidates, with ``beta = 1 - t (1 - a)``.

    a is the share that k is of the other items, and k is n where it is not given; beta is ``a (t (1 - 1/a) + 1/a)``.

    Source:
        Petrov and Macdonald, "gSASRec: Reducing Overconfidence in Sequential Recommendation Trained with Negative
        Sampling", RecSys 2023, eq. (15) and (28).
    """

    def of_positions(self, logits: Tensor, columns: Tensor) -> Tensor:
        """(P,), the loss of each position."""
        logits = logits + self.config.bias
        rest = others(logits, columns)
        count, costs = rest.isfinite().sum(1), F.softplus(rest).sum(1)
        if self.config.negatives is not None:
            costs = costs * self.config.negatives / count.clamp_min(1)
            count = torch.full_like(count, self.config.negatives)
        share = (count / max(self.items - 1, 1)).clamp_max(1.0)
        beta = 1 - self.config.calibration * (1 - share)
        loss: Tensor = beta * F.softplus(-own(logits, columns)).squeeze(1) + costs
        return loss
