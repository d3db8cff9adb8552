"""`focal`: cross-entropy that turns away from what the model knows already."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from easyrec.losses import LossConfig
from easyrec.losses._loss import Loss


class Config(LossConfig):
    """Config of `focal`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"binary"})

    type: Literal["focal"] = "focal"
    gamma: float = Field(2.0, ge=0.0)
    """How fast a row's loss falls with the probability of its label; 0 is cross-entropy."""
    alpha: float | None = Field(None, gt=0.0, lt=1.0)
    """a: positives weigh a and negatives 1 - a; default: both 1."""


class Focal(Loss):
    """``-a_y (1 - q)^gamma log q`` with q the probability of the row's label.

    What it predicts is drawn towards 1/2: scores rank, and want `eval.calibration` where they must be probabilities.

    Source:
        Lin et al., "Focal loss for dense object detection", ICCV 2017, eq. (5).
    """

    def of_rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(B,), the loss of each row."""
        towards = logits * (2.0 * labels - 1.0)  # the logit of q
        rows = -torch.exp(self.config.gamma * F.logsigmoid(-towards)) * F.logsigmoid(towards)
        if self.config.alpha is not None:
            rows = rows * torch.where(labels > 0, self.config.alpha, 1.0 - self.config.alpha)
        return rows

    def predict(self, logits: Tensor) -> Tensor:
        """(B,), the probability of label 1."""
        return torch.sigmoid(logits.float())
