"""`mlp`: layers of `dropout(activation(norm(W x + b)))`."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from easyrec.modules.blocks import LayerConfig
from easyrec.modules.blocks._block import Around, Block, Shape
from easyrec.modules.mlp import MLP, MLPConfig


class Config(MLPConfig, LayerConfig):
    """Config of `mlp`."""

    type: Literal["mlp"] = "mlp"


class MLPBlock(Block):
    """See `easyrec.modules.mlp.MLP`.

    Shape:
        input: (B, W)
        output: (B, hidden[-1])
    """

    def __init__(self, config: Config, around: Around, input: Shape) -> None:
        super().__init__(config, around)
        self.layer = MLP(input[0], config)
        self.shape = (self.layer.out,)

    def forward(self, input: Tensor) -> Tensor:
        """The last layer."""
        return self.layer(input)  # type: ignore[no-any-return]
