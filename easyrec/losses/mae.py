"""`mae`: absolute error, for regression towards the median."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from easyrec.losses import LossConfig
from easyrec.losses._loss import Loss


class Config(LossConfig):
    """Config of `mae`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"regression"})

    type: Literal["mae"] = "mae"


class MAE(Loss):
    """``|z - y|``; the model's output z is the prediction itself, and learns the median where `mse` learns the mean."""

    def of_rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(B,), the absolute error of each row."""
        return (logits - labels).abs()

    def predict(self, logits: Tensor) -> Tensor:
        """(B,), the value."""
        return logits.float()

    def start(self, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """(1,), the median."""
        values, order = labels.sort()
        below = (torch.ones_like(values) if weights is None else weights[order]).cumsum(0)
        return values[torch.searchsorted(below, below[-1] / 2)][None]
