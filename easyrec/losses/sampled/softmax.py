"""`softmax`: the own item against all candidates."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor

from easyrec.losses.sampled import SampledLossConfig
from easyrec.losses.sampled._loss import SampledLoss


class Config(SampledLossConfig):
    """Config of `softmax`."""

    corrected: ClassVar[bool] = True

    type: Literal["softmax"] = "softmax"


class Softmax(SampledLoss):
    """``-log(exp(z_y) / sum_c exp(z_c))``; over all items that is the full softmax.

    Source:
        Bengio and Senecal, "Adaptive importance sampling to accelerate training of a neural probabilistic language
        model", IEEE Transactions on Neural Networks 2008.
    """

    def of_positions(self, logits: Tensor, columns: Tensor) -> Tensor:
        """(P,), the cross-entropy of each position."""
        return F.cross_entropy(logits, columns, reduction="none")
