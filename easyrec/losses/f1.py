"""`f1`: cross-entropy whose negatives weigh as much as the F-measure gives for them."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from easyrec.losses import LossConfig
from easyrec.losses._loss import Groups, Loss, mean


class Config(LossConfig):
    """Config of `f1`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"binary"})

    type: Literal["f1"] = "f1"
    beta: float = Field(1.0, gt=0.0)
    """b of the measure F_b: above 1 recall counts more than precision."""

    @property
    def whole_batch(self) -> bool:
        """The weight of negatives comes from all rows."""
        return True


class F1(Loss):
    """``-y log s(z) - (1 - y) v log(1 - s(z))`` with ``v = TP / (b^2 P + N - TN)`` of the batch.

    P and N are the batch's positive and negative rows, TP and TN what the model expects to get right of them: the sums
    of s(z) over the positives and of 1 - s(z) over the negatives. v is taken as a constant. It is below 1 while the
    model is unsure, so scores rank, and are no probabilities without `eval.calibration`.

    Source:
        Lin et al., "Adaptive scaling for sparse detection in information extraction", ACL 2018.
    """

    def forward(
        self, logits: Tensor, labels: Tensor, weights: Tensor | None = None, groups: Groups | None = None
    ) -> Tensor:
        """The weighted mean; v comes from weighted sums."""
        logits = logits.float()
        counted = torch.ones_like(labels) if weights is None else weights
        with torch.no_grad():
            right = torch.sigmoid(torch.where(labels > 0, logits, -logits))
            positive, negative = counted * labels, counted * (1.0 - labels)
            missed = self.config.beta**2 * positive.sum() + (negative * (1.0 - right)).sum()
            scale = (positive * right).sum() / missed.clamp_min(1e-12)
        rows = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
        return mean(rows * torch.where(labels > 0, 1.0, scale), weights)

    def predict(self, logits: Tensor) -> Tensor:
        """(B,), the probability of label 1."""
        return torch.sigmoid(logits.float())
