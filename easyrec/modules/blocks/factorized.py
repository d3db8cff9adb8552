"""`factorized`: a linear part and products of all pairs of its inputs, as in FINAL."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from easyrec.errors import ConfigError
from easyrec.modules.blocks import LayerConfig
from easyrec.modules.blocks._block import Around, Block, Shape
from easyrec.modules.factorized import FactorizedInteraction, Residual


class Config(LayerConfig):
    """Config of `factorized`."""

    type: Literal["factorized"] = "factorized"
    units: int = Field(gt=0)
    """Width of the output; even with `concat`."""
    residual: Residual = "concat"
    """How the linear part joins the products."""


class Factorized(Block):
    """``[u, u * v]`` or ``u + u * v`` with u, v linear in the input; see `easyrec.modules.factorized.FactorizedInteraction`.

    Shape:
        input: (B, W)
        output: (B, units)
    """

    def __init__(self, config: Config, around: Around, input: Shape) -> None:
        super().__init__(config, around)
        if config.units % 2 and config.residual == "concat":
            raise ConfigError(f"'units' must be even where 'residual' is concat, but is {config.units}")
        self.layer = FactorizedInteraction(input[0], config.units, config.residual)
        self.shape = (config.units,)

    def forward(self, input: Tensor) -> Tensor:
        """The output."""
        return self.layer(input)  # type: ignore[no-any-return]
