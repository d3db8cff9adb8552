"""`mse`: squared error, for regression."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from easyrec.losses import LossConfig
from easyrec.losses._loss import Loss, mean


class Config(LossConfig):
    """Config of `mse`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"regression"})

    type: Literal["mse"] = "mse"


class MSE(Loss):
    """``(z - y)^2``; the model's output z is the prediction itself."""

    def of_rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(B,), the squared error of each row."""
        return (logits - labels).square()

    def predict(self, logits: Tensor) -> Tensor:
        """(B,), the value."""
        return logits.float()

    def start(self, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """(1,), the mean."""
        return mean(labels, weights)[None]
