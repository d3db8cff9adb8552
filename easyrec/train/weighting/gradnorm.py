"""`gradnorm`: weights that let all tasks learn at one pace."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from easyrec.config import train as config
from easyrec.config.model import TaskConfig
from easyrec.train.weighting._gradients import OfGradients

_BETAS, _EPSILON, _LEAST = (0.9, 0.999), 1e-8, 1e-3


class GradNorm(OfGradients):
    """Weights w, of mean 1, that minimise ``sum_t |w_t n_t - mean(w n) r_t^alpha|`` by steps of Adam.

    n_t is the norm of task t's gradient over what tasks share, r_t how little it has learned: its loss over its first
    loss, relative to the mean of all tasks.

    Source:
        Chen et al., "GradNorm", ICML 2018, eq. (1), (2) and algorithm 1.
    """

    first: Tensor
    w: Tensor
    mean: Tensor
    square: Tensor
    steps: Tensor

    def __init__(self, chosen: config.GradNorm, tasks: Sequence[TaskConfig], model: nn.Module) -> None:
        super().__init__(tasks, model)
        self.alpha, self.lr = chosen.alpha, chosen.lr
        number = len(tasks)
        for name in ("first", "mean", "square"):
            self.register_buffer(name, torch.zeros(number, dtype=torch.float64))
        self.register_buffer("w", torch.ones(number, dtype=torch.float64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def factors(self, products: Tensor, losses: Tensor) -> tuple[Tensor, Tensor]:
        """The weights, which then make a step of their own."""
        used = self.w.clone()
        self.first.copy_(torch.where(self.first > 0, self.first, losses))  # a task without rows has no first loss yet
        norms = products.diagonal().sqrt()
        ratio = torch.where(self.first > 0, losses / self.first, torch.ones_like(losses))
        pace = ratio / ratio.mean().clamp_min(_EPSILON)
        weighted = used * norms
        wanted = weighted.mean() * pace**self.alpha  # a constant of the step
        self._step(torch.sign(weighted - wanted) * norms)
        return used, used

    def _step(self, gradient: Tensor) -> None:
        self.steps += 1
        self.mean.lerp_(gradient, 1 - _BETAS[0])
        self.square.lerp_(gradient.square(), 1 - _BETAS[1])
        number = int(self.steps)
        mean, square = self.mean / (1 - _BETAS[0] ** number), self.square / (1 - _BETAS[1] ** number)
        moved = (self.w - self.lr * mean / (square.sqrt() + _EPSILON)).clamp_min(_LEAST)
        self.w.copy_(moved * len(moved) / moved.sum())
