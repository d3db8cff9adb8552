"""`listwise`: the softmax over a session should be that of its labels."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from easyrec.losses import SessionConfig
from easyrec.losses._sessions import SessionLoss, Sessions


class Config(SessionConfig):
    """Config of `listwise`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"binary", "regression"})

    type: Literal["listwise"] = "listwise"
    temperature: float = Field(1.0, gt=0.0)
    """T: what labels are divided by; a small one asks for the best row alone."""


class Listwise(SessionLoss):
    """``-sum_i q_i log p_i`` with ``p = softmax(z)`` and ``q = softmax(y / T)`` over a session's rows, mean over sessions.

    Source:
        Cao et al., "Learning to rank: from pairwise approach to listwise approach" (ListNet), ICML 2007.
    """

    def of_batch(self, logits: Tensor, labels: Tensor, weights: Tensor, codes: Tensor | None) -> Tensor:
        """The mean over sessions."""
        sessions, wanted = Sessions(codes, labels), labels / self.config.temperature
        target = weights * torch.exp(wanted - sessions.logsumexp(wanted, weights)[sessions.of_rows])
        rows = sessions.logsumexp(logits, weights)[sessions.of_rows] - logits
        return (target * rows).sum() / sessions.number
