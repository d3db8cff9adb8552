"""`experts`: MLPs side by side over one vector."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from easyrec.modules.blocks import LayerConfig
from easyrec.modules.blocks._block import Around, Block, Shape
from easyrec.modules.experts import Experts
from easyrec.modules.mlp import MLPConfig


class Config(MLPConfig, LayerConfig):
    """Config of `experts`."""

    type: Literal["experts"] = "experts"
    experts: int = Field(4, gt=0)
    """Number of experts."""


class ExpertsBlock(Block):
    """``f_1(x) .. f_E(x)``, in one product per layer; see `easyrec.modules.experts.Experts`.

    Shape:
        input: (B, W)
        output: (B, E, hidden[-1]), of which `mix` takes a weighted sum
    """

    def __init__(self, config: Config, around: Around, input: Shape) -> None:
        super().__init__(config, around)
        self.layer = Experts(config.experts, input[0], config)
        self.shape = (config.experts, self.layer.out)

    def forward(self, input: Tensor) -> Tensor:
        """The last layer of each."""
        return self.layer(input)  # type: ignore[no-any-return]
