"""`match`: a layer of the student gives, through a learned projection, what one of the teacher gives."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from easyrec.losses._loss import mean
from easyrec.losses.distill import LayerLossConfig
from easyrec.losses.distill._loss import LayerLoss


class Config(LayerLossConfig):
    """Config of `match`."""

    type: Literal["match"] = "match"
    normalize: bool = False
    """Compare directions: both vectors are scaled to length 1."""


class Match(LayerLoss):
    """``|W h + b - g|^2 / E`` of the student's h (D) and the teacher's g (E), mean over rows; W and b are learned.

    With `normalize` of ``(W h + b) / |W h + b|`` and ``g / |g|``, without the division by E.

    Source:
        Romero et al., "FitNets: hints for thin deep nets", ICLR 2015, eq. (3).
    """

    projection: nn.Linear

    def fit(self, mine: int, theirs: int) -> None:
        """The projection."""
        self.projection = nn.Linear(mine, theirs)

    def forward(
        self,
        mine: Tensor,
        theirs: Tensor,
        weights: Tensor | None = None,
        lengths: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """The weighted mean over rows."""
        guess = self.projection(mine)
        if self.config.normalize:
            return mean((F.normalize(guess, dim=1) - F.normalize(theirs, dim=1)).square().sum(1), weights)
        return mean((guess - theirs).square().mean(1), weights)
