"""`bpr`: a row should score higher than one drawn from those of its session that are worse."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from easyrec.losses import SessionConfig
from easyrec.losses._sessions import PairLoss


class Config(SessionConfig):
    """Config of `bpr`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"binary", "regression"})

    type: Literal["bpr"] = "bpr"
    max_pairs: int = Field(1 << 18, gt=0)
    """Most pairs of a batch; where there are more, as many are drawn at random."""


class BPR(PairLoss):
    """``-log s(z_i - z_j)``, for each row i the mean over the rows j of its session with ``y_j < y_i``, then the mean over i.

    It is what drawing one j for every i is on average; `pairwise_logistic` lets each pair count once instead.

    Source:
        Rendle et al., "BPR: Bayesian personalized ranking from implicit feedback", UAI 2009, section 4.1.
    """

    def of_pairs(self, margins: Tensor) -> Tensor:
        """(P,), the loss of each pair."""
        return F.softplus(-margins)

    def weigh(self, better: Tensor, worse: Tensor, weights: Tensor) -> Tensor:
        """(P,), so that the pairs of a row together weigh what the row does."""
        beaten = torch.zeros_like(weights).index_add(0, better, weights[worse])
        return weights[better] * weights[worse] / beaten[better]
