"""`hinge`: the own item before every other candidate by a margin."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from easyrec.losses.sampled import SampledLossConfig
from easyrec.losses.sampled._loss import SampledLoss, others, own


class Config(SampledLossConfig):
    """Config of `hinge`."""

    type: Literal["hinge"] = "hinge"
    margin: float = Field(1.0, gt=0.0)
    """m."""


class Hinge(SampledLoss):
    """``mean_c(max(0, m - z_y + z_c))``.

    Source:
        Weston et al., "WSABIE: Scaling Up to Large Vocabulary Image Annotation", IJCAI 2011, section 3, without ranks.
    """

    def of_positions(self, logits: Tensor, columns: Tensor) -> Tensor:
        """(P,), the mean over the other candidates."""
        rest = others(logits, columns)
        costs: Tensor = (self.config.margin - own(logits, columns) + rest).clamp_min(0.0)
        return costs.sum(1) / rest.isfinite().sum(1).clamp_min(1)
