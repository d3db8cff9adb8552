"""Activations by name, and batch normalisation that bears a batch of one row."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation: TypeAlias = Literal["relu", "leaky_relu", "prelu", "dice", "gelu", "silu", "sigmoid", "tanh"]


def activation(name: Activation, width: int) -> nn.Module:
    """The activation of a layer with `width` units."""
    plain = {
        "relu": nn.ReLU,
        "leaky_relu": nn.LeakyReLU,
        "gelu": nn.GELU,
        "silu": nn.SiLU,
        "sigmoid": nn.Sigmoid,
        "tanh": nn.Tanh,
    }
    if name == "prelu":
        return nn.PReLU(width)
    return Dice(width) if name == "dice" else plain[name]()


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation over rows; a training batch of fewer than two rows is normalised as in evaluation.

    Shape:
        input, output: (B, width)
    """

    def forward(self, input: Tensor) -> Tensor:
        """The normalised rows."""
        if self.training and input.shape[0] < 2:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(input)


class Dice(nn.Module):
    """``p x + (1 - p) a x`` with ``p = sigmoid((x - mean) / sqrt(var + eps))`` over the batch, a learned per unit.

    Shape:
        input, output: (N, width)

    Source:
        Zhou et al., "Deep Interest Network", KDD 2018, eq. (3).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = BatchNorm(width, eps=1e-8, affine=False)
        self.alpha = nn.Parameter(torch.zeros(width))

    def forward(self, input: Tensor) -> Tensor:
        """The activated rows."""
        gate = torch.sigmoid(self.norm(input))
        return input * (self.alpha + (1.0 - self.alpha) * gate)
