"""`bpr`: the own item before every other candidate."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from easyrec.losses.sampled import SampledLossConfig
from easyrec.losses.sampled._loss import SampledLoss, others, own


class Config(SampledLossConfig):
    """Config of `bpr`."""

    type: Literal["bpr"] = "bpr"


class BPR(SampledLoss):
    """``mean_c(-log s(z_y - z_c))``.

    Source:
        Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI 2009, section 4.1.
    """

    def of_positions(self, logits: Tensor, columns: Tensor) -> Tensor:
        """(P,), the mean over the other candidates."""
        rest = others(logits, columns)
        return F.softplus(rest - own(logits, columns)).sum(1) / rest.isfinite().sum(1).clamp_min(1)
