"""`mix`: experts weighed by a gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from easyrec.errors import ConfigError
from easyrec.modules.blocks import LayerConfig, Takes, Wires
from easyrec.modules.blocks._block import Around, Block, Shape, equal, told


class Config(LayerConfig):
    """Config of `mix`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "tensors", "weights": "vector"}

    type: Literal["mix"] = "mix"
    weights: Annotated[Any, Wires()] = None
    """The gate: one weight per expert, before the softmax."""
    softmax: bool = True
    """Make the weights of a row sum to 1; otherwise they are taken as they are."""


class Mix(Block):
    """``sum_e g_e x_e`` with ``g = softmax(weights)``.

    Shape:
        input: E tensors (B, ...), or one (B, E, D)
        weights: (B, E)
        output: (B, ...)

    Source:
        Jacobs et al., "Adaptive Mixtures of Local Experts", Neural Computation 1991, eq. (1).
    """

    def __init__(self, config: Config, around: Around, input: list[Shape], weights: Shape) -> None:
        super().__init__(config, around)
        one = input[0] if len(input) == 1 and len(input[0]) > 1 else (len(input), *equal(input, "mixes"))
        if weights != one[:1]:
            raise ConfigError(f"mixes {one[0]} experts, but 'weights' is {told(weights)}: it needs one for each")
        self.stacked = len(input) == 1 and len(input[0]) > 1
        self.sizes = self.shape = one[1:]

    def forward(self, input: list[Tensor], weights: Tensor) -> Tensor:
        """The weighted sum."""
        experts = input[0] if self.stacked else torch.stack(input, dim=1)  # (B, E, ...)
        gate = torch.softmax(weights, dim=1) if self.config.softmax else weights  # (B, E)
        mixed = torch.einsum("be,bew->bw", gate.to(experts.dtype), experts.flatten(2))
        return torch.unflatten(mixed, 1, self.sizes) if len(self.sizes) > 1 else mixed
