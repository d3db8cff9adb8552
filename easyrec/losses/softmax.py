"""`softmax`: each positive row against all rows of its session."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from easyrec.losses import SessionConfig
from easyrec.losses._loss import mean
from easyrec.losses._sessions import SessionLoss, Sessions


class Config(SessionConfig):
    """Config of `softmax`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"binary"})

    type: Literal["softmax"] = "softmax"
    temperature: float = Field(1.0, gt=0.0)
    """T: what logits are divided by."""


class Softmax(SessionLoss):
    """``-log(exp(z_i / T) / sum_j exp(z_j / T))`` over the rows j of its session, mean over the positive rows i.

    It is the sampled softmax of a session with one positive. `cross_entropy` is the softmax over classes.

    Source:
        Bruch et al., "An analysis of the softmax cross entropy loss for learning-to-rank", ICTIR 2019.
    """

    def of_batch(self, logits: Tensor, labels: Tensor, weights: Tensor, codes: Tensor | None) -> Tensor:
        """The mean over positives; 0 where there are none."""
        sessions, scores = Sessions(codes, labels), logits / self.config.temperature
        rows = sessions.logsumexp(scores, weights)[sessions.of_rows] - scores
        counted = weights * labels
        return mean(rows, counted)
