"""`kd`: the softened prediction of the teacher."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from easyrec.losses._loss import mean
from easyrec.losses.distill import DistillLossConfig
from easyrec.losses.distill._loss import ScoreLoss


class Config(DistillLossConfig):
    """Config of `kd`."""

    type: Literal["kd"] = "kd"
    temperature: float = Field(1.0, gt=0.0)
    """T: what the logits of both are divided by; a higher one shows more of what the teacher holds for unlikely."""


class KD(ScoreLoss):
    """``T^2 KL(s(t / T) || s(z / T))``, s the sigmoid, or the softmax over classes; of values ``(z - t)^2``.

    Source:
        Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015, section 2.
    """

    def forward(
        self, logits: Tensor, wanted: Tensor, weights: Tensor | None = None, codes: Tensor | None = None
    ) -> Tensor:
        """The weighted mean over rows."""
        if self.task is not None and self.task.type == "regression":
            return mean((logits - wanted).square(), weights)
        temperature: float = self.config.temperature
        student, teacher = logits / temperature, wanted / temperature
        if logits.dim() == 1:
            share = teacher.sigmoid()
            rows = share * (F.logsigmoid(teacher) - F.logsigmoid(student))
            rows = rows + (1.0 - share) * (F.logsigmoid(-teacher) - F.logsigmoid(-student))
        else:
            logs = teacher.log_softmax(1)
            rows = (logs.exp() * (logs - student.log_softmax(1))).sum(1)
        return mean(rows, weights) * temperature**2
