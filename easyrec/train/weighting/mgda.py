"""`mgda`: the shortest mixture of the tasks' gradients, along which no task loses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from easyrec.config import train as config
from easyrec.config.model import TaskConfig
from easyrec.train.weighting._gradients import OfGradients

_STEPS, _ENOUGH = 250, 1e-6


class MGDA(OfGradients):
    """``sum_t a_t g_t`` with the a on the simplex that makes it shortest, by Frank-Wolfe; 0 where no step helps all.

    A task without a gradient, as one whose mask leaves no row of the batch, has the factor 0 and no say.

    Source:
        Sener and Koltun, "Multi-Task Learning as Multi-Objective Optimization", NeurIPS 2018, eq. (3)-(5), algorithm 2.
    """

    def __init__(self, chosen: config.MGDA, tasks: Sequence[TaskConfig], model: nn.Module) -> None:
        super().__init__(tasks, model)
        self.normalize = chosen.normalize

    def factors(self, products: Tensor, losses: Tensor) -> tuple[Tensor, Tensor]:
        """The mixture; a task's own part follows its loss."""
        scale = torch.ones_like(losses)
        if self.normalize in ("norm", "loss_norm"):
            scale = scale * products.diagonal().sqrt()
        if self.normalize in ("loss", "loss_norm"):
            scale = scale * losses
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        scaled, moving = products / (scale.unsqueeze(0) * scale.unsqueeze(1)), products.diagonal() > 0
        mixture = torch.zeros_like(losses)  # of a task without rows, whose gradient of 0 would be the shortest
        if moving.any():
            mixture[moving] = shortest(scaled[moving][:, moving])
        return mixture, torch.ones_like(losses)


def shortest(products: Tensor) -> Tensor:
    """(T,), the a on the simplex that makes ``a' M a`` least, for inner products M (T, T)."""
    number = len(products)
    a = torch.full((number,), 1.0 / number, dtype=products.dtype)
    for _ in range(_STEPS):
        ahead = products @ a  # inner products of the mixture with each gradient
        vertex = int(ahead.argmin())
        length, across, other = float(a @ ahead), float(ahead[vertex]), float(products[vertex, vertex])
        # The shortest point between the mixture u and the vertex v: u + g (v - u).
        apart = length - 2 * across + other
        gain = length - across
        if apart <= 0 or gain <= _ENOUGH * length:
            break
        share = min(gain / apart, 1.0)
        a = (1 - share) * a
        a[vertex] += share
    return a
