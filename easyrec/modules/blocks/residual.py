"""`residual`: a residual unit of Deep Crossing."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from easyrec.modules.activation import Activation
from easyrec.modules.blocks import LayerConfig
from easyrec.modules.blocks._block import Around, Block, Shape
from easyrec.modules.residual import Residual, ResidualConfig


class Config(LayerConfig):
    """Config of `residual`."""

    type: Literal["residual"] = "residual"
    units: int = Field(gt=0)
    """Width of the layer inside."""
    activation: Activation = "relu"
    """Activation inside and after the sum."""
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Probability of zeroing an output while training."""
    batch_norm: bool = False
    """Normalise both layers over the batch."""


class ResidualBlock(Block):
    """``act(x + W_1 act(W_0 x + b_0) + b_1)``, see `easyrec.modules.residual.Residual`.

    Shape:
        input, output: (B, W)
    """

    def __init__(self, config: Config, around: Around, input: Shape) -> None:
        super().__init__(config, around)
        keys = {"activation": config.activation, "dropout": config.dropout, "batch_norm": config.batch_norm}
        self.layer = Residual(input[0], config.units, ResidualConfig(hidden=[config.units], **keys))
        self.shape = input

    def forward(self, input: Tensor) -> Tensor:
        """The output."""
        return self.layer(input)  # type: ignore[no-any-return]
