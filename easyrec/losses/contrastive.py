"""`contrastive`: each positive row against the negative rows of its session."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from easyrec.losses import SessionConfig
from easyrec.losses._loss import mean
from easyrec.losses._sessions import SessionLoss, Sessions


class Config(SessionConfig):
    """Config of `contrastive`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"binary"})

    type: Literal["contrastive"] = "contrastive"
    temperature: float = Field(1.0, gt=0.0)
    """T: what logits are divided by."""


class Contrastive(SessionLoss):
    """``-log(exp(z_i / T) / (exp(z_i / T) + sum_j exp(z_j / T)))`` over the negative rows j of its session.

    The mean over the positive rows i that have one. Other positives are no negatives, as they are in `softmax`.

    Source:
        van den Oord, Li and Vinyals, "Representation learning with contrastive predictive coding", 2018, eq. (4).
    """

    def of_batch(self, logits: Tensor, labels: Tensor, weights: Tensor, codes: Tensor | None) -> Tensor:
        """The mean over positives; 0 where none has a negative."""
        sessions, scores = Sessions(codes, labels), logits / self.config.temperature
        negative = weights * (1.0 - labels)
        against = sessions.logsumexp(scores, negative)[sessions.of_rows]
        counted = weights * labels * (sessions.sum(negative) > 0)[sessions.of_rows]
        rows = F.softplus(torch.where(counted > 0, against - scores, 0.0))
        return mean(rows, counted)
