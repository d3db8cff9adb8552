"""`ziln`: zero-inflated lognormal, for values most of which are 0 and the rest of which have a long tail."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from easyrec.losses import LossConfig
from easyrec.losses._loss import Loss, mean

SMALLEST_SCALE = 1e-3
"""Of sigma: labels that are all equal would want 0."""
LARGEST_LOG = 80.0
"""Of a prediction; beyond it float32 ends."""


class Config(LossConfig):
    """Config of `ziln`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"ziln"})
    below_zero: ClassVar[bool] = True

    type: Literal["ziln"] = "ziln"

    def num_outputs(self, num_classes: int | None) -> int:
        """Three: p, mu, sigma."""
        return 3


class ZILN(Loss):
    """Cross-entropy of ``y > 0`` with ``p = s(z_0)``, plus for ``y > 0`` the negative log-density of the lognormal.

    ``log y + log sigma + log(2 pi) / 2 + (log y - mu)^2 / (2 sigma^2)`` with ``mu = z_1`` and
    ``sigma = max(softplus(z_2), 0.001)``. The prediction is the expected value ``p exp(mu + sigma^2 / 2)``.

    Source:
        Wang, Liu and Miao, "A deep probabilistic model for customer lifetime value prediction", 2019, section 3.
    """

    def of_rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(B,), the negative log-likelihood of each row."""
        paid = labels > 0
        logs = torch.log(torch.where(paid, labels, 1.0))
        scale = self._scale(logits)
        density = logs + torch.log(scale) + 0.5 * math.log(2 * math.pi) + 0.5 * ((logs - logits[:, 1]) / scale) ** 2
        some = F.binary_cross_entropy_with_logits(logits[:, 0], paid.float(), reduction="none")
        return some + torch.where(paid, density, 0.0)

    def predict(self, logits: Tensor) -> Tensor:
        """(B,), the expected value."""
        logits = logits.float()
        log = F.logsigmoid(logits[:, 0]) + logits[:, 1] + 0.5 * self._scale(logits).square()
        return torch.exp(log.clamp_max(LARGEST_LOG))

    def _scale(self, logits: Tensor) -> Tensor:
        return F.softplus(logits[:, 2]).clamp_min(SMALLEST_SCALE)

    def start(self, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """(3,), the share of labels above 0, and mean and deviation of their logs."""
        paid = (labels > 0).float()
        share = mean(paid, weights).clamp(1e-3, 1 - 1e-3)
        counted = paid if weights is None else paid * weights
        logs = torch.log(torch.where(labels > 0, labels, 1.0))
        middle = mean(logs, counted)
        scale = mean((logs - middle).square(), counted).sqrt().clamp_min(0.1)
        return torch.stack([torch.logit(share), middle, torch.log(torch.expm1(scale))])
