"""`unflatten`: a vector as equal fields."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from easyrec.errors import ConfigError
from easyrec.modules.blocks import LayerConfig
from easyrec.modules.blocks._block import Around, Block, Shape, told


class Config(LayerConfig):
    """Config of `unflatten`."""

    type: Literal["unflatten"] = "unflatten"
    fields: int = Field(gt=0)
    """Number of fields."""


class Unflatten(Block):
    """``x`` cut into equal fields.

    Shape:
        input: (B, F * D)
        output: (B, F, D)
    """

    def __init__(self, config: Config, around: Around, input: Shape) -> None:
        super().__init__(config, around)
        if input[0] % config.fields:
            raise ConfigError(f"cannot cut {told(input)} into {config.fields} equal fields")
        self.sizes = self.shape = (config.fields, input[0] // config.fields)

    def forward(self, input: Tensor) -> Tensor:
        """The output."""
        return torch.unflatten(input, 1, self.sizes)
