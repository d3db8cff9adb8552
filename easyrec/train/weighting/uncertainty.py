"""`uncertainty`: each task's noise is learned, and a noisy task weighs less."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from easyrec.config.model import TaskConfig
from easyrec.train.weighting._weighting import Weighting


class Uncertainty(Weighting):
    """``sum_t c_t e^-s_t loss_t + s_t / 2`` with a learned log-variance s per task; c is 1/2 for regressions, else 1.

    Source:
        Kendall et al., "Multi-Task Learning Using Uncertainty to Weigh Losses", CVPR 2018, eq. (7) and (10).
    """

    def __init__(self, tasks: Sequence[TaskConfig]) -> None:
        super().__init__()
        self.names = [task.name for task in tasks]
        self.scales = [0.5 if task.type == "regression" else 1.0 for task in tasks]
        self.log_variances = nn.Parameter(torch.zeros(len(tasks)))

    def total(self, losses: Mapping[str, Tensor], extras: Mapping[str, Tensor]) -> Tensor:
        """The loss of a step; the log-variances are part of it."""
        values = torch.stack([losses[name] for name in self.names])
        factors = torch.exp(-self.log_variances) * torch.tensor(self.scales, device=values.device)
        weighted = (factors * values + 0.5 * self.log_variances).sum()
        return sum(extras.values(), weighted)

    def weights(self) -> dict[str, float]:
        """Factors of the losses."""
        factors = torch.exp(-self.log_variances.detach()).tolist()
        return {n: f * c for n, f, c in zip(self.names, factors, self.scales, strict=True)}
