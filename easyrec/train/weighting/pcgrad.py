"""`pcgrad`: what a task's gradient has against another one's is taken off."""

from __future__ import annotations

import torch
from torch import Tensor

from easyrec.train.weighting._gradients import OfGradients


class PCGrad(OfGradients):
    """``sum_t g'_t``, where g'_t is g_t, projected onto the normal plane of each other g_j that it conflicts with.

    The others come in a random order. A projected gradient is a combination of the tasks' own, so that their inner
    products are all it takes to find its factors.

    Source:
        Yu et al., "Gradient Surgery for Multi-Task Learning", NeurIPS 2020, algorithm 1.
    """

    def factors(self, products: Tensor, losses: Tensor) -> tuple[Tensor, Tensor]:
        """How much of each task's gradient the sum of the projected ones holds."""
        number = len(losses)
        total = torch.zeros(number, dtype=torch.float64)
        for task in range(number):
            share = torch.zeros(number, dtype=torch.float64)
            share[task] = 1.0
            for other in torch.randperm(number).tolist():
                against = float(share @ products[other])
                if other != task and against < 0 and products[other, other] > 0:
                    share[other] -= against / float(products[other, other])
            total += share
        return total, torch.ones_like(total)
