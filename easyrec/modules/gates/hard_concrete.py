"""`hard_concrete`: gates that close altogether, or open altogether."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from easyrec.config.model import GatesConfig
from easyrec.modules.gates._gates import Gates

BETA, LOW, HIGH = 2 / 3, -0.1, 1.1
"""Temperature, and the ends that a gate is stretched to before it is cut to 0 .. 1: the paper's."""
SHIFT = BETA * math.log(-LOW / HIGH)


class Config(GatesConfig):
    """Config of `hard_concrete`."""

    type: Literal["hard_concrete"] = "hard_concrete"
    penalty: float = Field(1e-5, ge=0.0)
    """Of the loss, for each feature whose gate is open."""


class HardConcrete(Gates):
    """``z = min(1, max(0, s (h - l) + l))`` with ``s = sigmoid((log u - log(1 - u) + a) / b)`` and u drawn anew per row.

    The penalty is the expected number of open gates, ``sum_f sigmoid(a_f - b log(-l / h))``.

    Source:
        Louizos, Welling, Kingma, "Learning Sparse Neural Networks through L0 Regularization", ICLR 2018, eq. (10)-(12).
    """

    START = 1.0

    def values(self, rows: int | None) -> Tensor:
        """The gates."""
        logits = self.raw
        if rows is None:
            soft = torch.sigmoid(logits)
        else:
            noise = torch.rand(rows, self.width, device=logits.device).clamp(1e-6, 1 - 1e-6)
            soft = torch.sigmoid((torch.logit(noise) + logits) / BETA)
        return (soft * (HIGH - LOW) + LOW).clamp(0.0, 1.0)

    def strengths(self) -> Tensor:
        """The chance that each gate is open."""
        return torch.sigmoid(self.raw - SHIFT)

    def penalty(self) -> Tensor:
        """The expected number of open gates; those of a feature count as one together."""
        loss: Tensor = self.config.penalty * (self.summed(self.strengths()) / self.sizes).sum()
        return loss
