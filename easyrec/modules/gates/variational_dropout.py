"""`variational_dropout`: a dropout rate is learned for each feature."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from easyrec.config.model import GatesConfig
from easyrec.modules.gates._gates import Gates


class Config(GatesConfig):
    """Config of `variational_dropout`."""

    type: Literal["variational_dropout"] = "variational_dropout"
    penalty: float = Field(1e-5, ge=0.0)
    """Of the loss, for each feature that is kept."""
    temperature: float = Field(0.1, gt=0.0)
    """The lower, the nearer a mask is to 0 or 1."""


class VariationalDropout(Gates):
    """``z = sigmoid((a + log u - log(1 - u)) / t)``, a feature being kept with the chance ``p = sigmoid(a)``; in scoring p.

    The penalty is the expected number of features that are kept.

    Source:
        Chang, Rampasek, Goldenberg, "Dropout Feature Ranking for Deep Learning Models", 2017, eq. (5) and (6); the relaxed
        mask is that of Gal, Hron, Kendall, "Concrete Dropout", NeurIPS 2017, eq. (5).
    """

    def values(self, rows: int | None) -> Tensor:
        """The masks."""
        logits = self.raw
        if rows is None:
            return torch.sigmoid(logits)
        noise = torch.rand(rows, self.width, device=logits.device).clamp(1e-6, 1 - 1e-6)
        return torch.sigmoid((logits + torch.logit(noise)) / self.config.temperature)

    def strengths(self) -> Tensor:
        """The chance that each is kept."""
        return torch.sigmoid(self.raw)

    def penalty(self) -> Tensor:
        """The expected number of features that are kept; the numbers of one count as one together."""
        loss: Tensor = self.config.penalty * (self.summed(self.strengths()) / self.sizes).sum()
        return loss
