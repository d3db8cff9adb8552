"""`huber`: squared error near the label, absolute error far from it."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from easyrec.losses import LossConfig
from easyrec.losses._loss import Loss, mean


class Config(LossConfig):
    """Config of `huber`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"regression"})

    type: Literal["huber"] = "huber"
    delta: float = Field(1.0, gt=0.0)
    """d: the error, in the unit of the label, from which on the loss grows in proportion."""


class Huber(Loss):
    """``(z - y)^2 / 2`` where ``|z - y| <= d``, else ``d (|z - y| - d / 2)``; z is the prediction itself.

    Source:
        Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 1964.
    """

    def of_rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(B,), the loss of each row."""
        return F.huber_loss(logits, labels, reduction="none", delta=self.config.delta)

    def predict(self, logits: Tensor) -> Tensor:
        """(B,), the value."""
        return logits.float()

    def start(self, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """(1,), the mean."""
        return mean(labels, weights)[None]
