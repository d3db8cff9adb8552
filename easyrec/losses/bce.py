"""`bce`: binary cross-entropy on logits."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from easyrec.losses import LossConfig
from easyrec.losses._loss import Loss


class Config(LossConfig):
    """Config of `bce`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"binary"})

    type: Literal["bce"] = "bce"
    label_smoothing: float = Field(0.0, ge=0.0, lt=1.0)
    """s: labels y become y (1 - s) + s / 2."""


class BCE(Loss):
    """``-y log s(z) - (1 - y) log(1 - s(z))`` with the sigmoid s, computed from the logit z without overflow.

    Source:
        Label smoothing: Szegedy et al., "Rethinking the Inception architecture", CVPR 2016, section 7.
    """

    def of_rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(B,), the cross-entropy of each row."""
        smoothing = self.config.label_smoothing
        if smoothing:
            labels = labels * (1.0 - smoothing) + 0.5 * smoothing
        return F.binary_cross_entropy_with_logits(logits, labels, reduction="none")

    def predict(self, logits: Tensor) -> Tensor:
        """(B,), the probability of label 1."""
        return torch.sigmoid(logits.float())
