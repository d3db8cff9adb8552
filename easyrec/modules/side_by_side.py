"""Networks of different kinds over one input, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.modules.cross import Cross, CrossConfig
from easyrec.modules.mlp import MLP, MLPConfig
from feature_generator.config import StrictModel


class MLPPart(MLPConfig):
    """An MLP."""

    type: Literal["mlp"] = "mlp"


class CrossPart(CrossConfig):
    """Cross layers of DCN-V2."""

    type: Literal["cross"] = "cross"


class PlainPart(StrictModel):
    """The input as it is."""

    type: Literal["plain"] = "plain"


Part = Annotated[MLPPart | CrossPart | PlainPart, Field(discriminator="type")]


class SideBySide(nn.Module):
    """``[f_1(x), f_2(x), ...]``.

    Shape:
        input: (B, width)
        output: (B, out)

    Args:
        width: Width of the input.
        parts: The networks.
    """

    def __init__(self, width: int, parts: Sequence[Part]) -> None:
        super().__init__()
        made: list[nn.Module] = []
        self.out = 0
        for part in parts:
            if isinstance(part, MLPPart):
                mlp = MLP(width, part)
                made.append(mlp)
                self.out += mlp.out
            else:
                made.append(Cross(width, part) if isinstance(part, CrossPart) else nn.Identity())
                self.out += width
        self.parts = nn.ModuleList(made)

    def forward(self, input: Tensor) -> Tensor:
        """What the networks give."""
        return torch.cat([part(input) for part in self.parts], dim=1)
