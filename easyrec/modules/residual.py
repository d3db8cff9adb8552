"""Residual units of fully connected layers."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from easyrec.modules.activation import Activation, BatchNorm, activation
from easyrec.modules.dropout import Dropout
from easyrec.modules.mlp import Widths, linear
from feature_generator.config import StrictModel


class ResidualConfig(StrictModel):
    """Keys of residual units."""

    hidden: Widths = Field([256, 256], min_length=1)
    """Widths of the layers inside of the units, one unit each."""
    activation: Activation = "relu"
    """Activation inside of a unit and after its sum."""
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Probability of zeroing an output of a unit while training."""
    batch_norm: bool = False
    """Normalise both layers of a unit over the batch."""


class Residual(nn.Module):
    """``act(x + W_1 act(W_0 x + b_0) + b_1)``, each layer normalised where the config says so; then dropout.

    Shape:
        input, output: (B, width)

    Args:
        width: Numbers in and out.
        units: Width of the layer inside.
        config: What the unit is made of.

    Source:
        Shan et al., "Deep Crossing", KDD 2016, its residual layer; He et al., "Deep Residual Learning for Image Recognition",
        CVPR 2016, figure 2.
    """

    def __init__(self, width: int, units: int, config: ResidualConfig) -> None:
        super().__init__()
        inner: list[nn.Module] = [linear(width, units)]
        inner += [BatchNorm(units)] if config.batch_norm else []
        inner += [activation(config.activation, units), linear(units, width)]
        inner += [BatchNorm(width)] if config.batch_norm else []
        self.inner = nn.Sequential(*inner)
        self.activation = activation(config.activation, width)
        self.dropout = Dropout(config.dropout)

    def forward(self, input: Tensor) -> Tensor:
        """What becomes of the rows."""
        output: Tensor = self.dropout(self.activation(input + self.inner(input)))
        return output
