"""`ordinal`: the likelihood of ordered levels, for stars and grades."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from easyrec.losses import LossConfig
from easyrec.losses._loss import Loss, mean


class Config(LossConfig):
    """Config of `ordinal`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"ordinal"})

    type: Literal["ordinal"] = "ordinal"

    def num_outputs(self, num_classes: int | None) -> int:
        """One for each step from a level to the next."""
        return (num_classes or 2) - 1


class Ordinal(Loss):
    """``-log P(y)`` with ``P(y > k) = s(a_k)``, ``a_0 = z_0`` and ``a_k = a_(k-1) - softplus(z_k)``.

    The thresholds fall, so P(y > k) does: no level has a negative probability, whatever the model puts out. Where
    z_1, z_2 ... are the same for all rows this is the proportional odds model; here they may depend on the row.

    Source:
        McCullagh, "Regression models for ordinal data", JRSS B 1980, section 2; the order of thresholds that neural
        networks need: Cao, Mirjalili and Raschka, "Rank consistent ordinal regression", 2020.
    """

    def of_rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(B,), the negative log-likelihood of each row."""
        return -self._logs(logits).gather(1, labels.long()[:, None]).squeeze(1)

    def predict(self, logits: Tensor) -> Tensor:
        """(B, C), the probability of each level."""
        return torch.exp(self._logs(logits.float()))

    def _logs(self, logits: Tensor) -> Tensor:
        """(B, C), the log-probability of each level.

        Of ``s(a) - s(b)`` with ``a - b = softplus(z)`` it is ``log s(a) + log s(-b) + log s(z)``, without a difference.
        """
        logits = logits.reshape(logits.shape[0], self.task.num_outputs)
        falls = torch.cat([torch.zeros_like(logits[:, :1]), F.softplus(logits[:, 1:])], dim=1)
        above = logits[:, :1] - falls.cumsum(1)  # (B, C-1)
        lowest, highest = F.logsigmoid(-above[:, :1]), F.logsigmoid(above[:, -1:])
        inner = F.logsigmoid(above[:, :-1]) + F.logsigmoid(-above[:, 1:]) + F.logsigmoid(logits[:, 1:])
        return torch.cat([lowest, inner, highest], dim=1)

    def start(self, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """(C-1,), the share of labels above each level."""
        steps = torch.arange(self.task.num_outputs, dtype=labels.dtype, device=labels.device)
        shares = torch.stack([mean((labels > k).float(), weights) for k in steps]).clamp(1e-3, 1 - 1e-3)
        above = torch.logit(shares)
        falls = -above.diff().clamp_max(-0.01)
        return torch.cat([above[:1], torch.log(torch.expm1(falls))])
