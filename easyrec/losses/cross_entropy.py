"""`cross_entropy`: softmax cross-entropy, for one of several classes."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from easyrec.losses import LossConfig
from easyrec.losses._loss import Loss


class Config(LossConfig):
    """Config of `cross_entropy`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"multiclass"})

    type: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: float = Field(0.0, ge=0.0, lt=1.0)
    """s: the target is 1 - s + s / C for the label and s / C for each other class."""


class CrossEntropy(Loss):
    """``-log softmax(z)_y``.

    Source:
        Label smoothing: Szegedy et al., "Rethinking the Inception architecture", CVPR 2016, section 7.
    """

    def of_rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(B,), the cross-entropy of each row."""
        return F.cross_entropy(logits, labels.long(), reduction="none", label_smoothing=self.config.label_smoothing)

    def predict(self, logits: Tensor) -> Tensor:
        """(B, C), the probability of each class."""
        return torch.softmax(logits.float(), dim=1)
