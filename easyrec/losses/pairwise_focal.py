"""`pairwise_focal`: of two rows of a session, the better one should score higher; pairs in order count less."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from easyrec.losses import SessionConfig
from easyrec.losses._sessions import PairLoss


class Config(SessionConfig):
    """Config of `pairwise_focal`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"binary", "regression"})

    type: Literal["pairwise_focal"] = "pairwise_focal"
    gamma: float = Field(2.0, ge=0.0)
    """How fast a pair's loss falls with the probability of its order; 0 is `pairwise_logistic`."""
    temperature: float = Field(1.0, gt=0.0)
    """T: what the difference of logits is divided by."""
    max_pairs: int = Field(1 << 18, gt=0)
    """Most pairs of a batch; where there are more, as many are drawn at random."""


class PairwiseFocal(PairLoss):
    """``-(1 - q)^gamma log q`` with ``q = s((z_i - z_j) / T)``, mean over the pairs i, j of a session with ``y_i > y_j``.

    Source:
        Lin et al., "Focal loss for dense object detection", ICCV 2017, eq. (4), of the order of a pair.
    """

    def of_pairs(self, margins: Tensor) -> Tensor:
        """(P,), the loss of each pair."""
        towards = margins / self.config.temperature
        return -torch.exp(self.config.gamma * F.logsigmoid(-towards)) * F.logsigmoid(towards)
