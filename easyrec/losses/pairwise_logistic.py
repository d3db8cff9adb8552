"""`pairwise_logistic`: of two rows of a session, the better one should score higher."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from easyrec.losses import SessionConfig
from easyrec.losses._sessions import PairLoss


class Config(SessionConfig):
    """Config of `pairwise_logistic`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"binary", "regression"})

    type: Literal["pairwise_logistic"] = "pairwise_logistic"
    margin: float = Field(0.0, ge=0.0)
    """m: how far apart the logits of a pair are wanted."""
    temperature: float = Field(1.0, gt=0.0)
    """T: what the difference of logits is divided by."""
    max_pairs: int = Field(1 << 18, gt=0)
    """Most pairs of a batch; where there are more, as many are drawn at random."""


class PairwiseLogistic(PairLoss):
    """``log(1 + exp(-((z_i - z_j) - m) / T))``, mean over the pairs i, j of a session with ``y_i > y_j``.

    Source:
        Burges et al., "Learning to rank using gradient descent", ICML 2005, eq. (3), of pairs whose order is known.
    """

    def of_pairs(self, margins: Tensor) -> Tensor:
        """(P,), the loss of each pair."""
        return F.softplus((self.config.margin - margins) / self.config.temperature)
