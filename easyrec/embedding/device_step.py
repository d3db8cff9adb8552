"""The step of every sparse optimizer, by torch: `_reference.step` in float32, for rows on a device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def moved(optimizer: Any, now: Sequence[Tensor], g: Tensor, step: int, lr: float) -> list[Tensor]:
    """Rows after a step, and their state.

    Args:
        optimizer: The rule, one of `easyrec.config.train.SparseOptimizer`.
        now: (n, dim) weights, and the arrays that `easyrec.embedding.spec.STATES` names, of the same rows.
        g: (n, dim) gradient.
        step: 1 for the first one.
        lr: Learning rate.
    """
    (w, *states), kind = now, optimizer.type
    if kind in ("adam", "lazy_adam"):
        (beta1, beta2), (m, v) = optimizer.betas, states
        m = torch.lerp(m, g, 1 - beta1)
        v = (beta2 * v).addcmul_(g, g, value=1 - beta2)
        root = v.sqrt().div_((1 - beta2**step) ** 0.5).add_(optimizer.eps)
        return [torch.addcdiv(w, m, root, value=-lr / (1 - beta1**step)), m, v]
    if kind in ("rowwise_adagrad", "adagrad"):
        square = g * g
        total = states[0] + (square.mean(dim=1, keepdim=True) if kind == "rowwise_adagrad" else square)
        return [torch.addcdiv(w, g, total.sqrt().add_(optimizer.eps), value=-lr), total]
    if kind == "ftrl":
        z, n = states
        grown = torch.addcmul(n, g, g)
        z = z + g - (grown.sqrt() - n.sqrt()) / lr * w
        pulled = -(z - z.sign() * optimizer.l1) / ((optimizer.beta + grown.sqrt()) / lr + optimizer.l2)
        return [torch.where(z.abs() <= optimizer.l1, torch.zeros_like(pulled), pulled), z, grown]
    return [torch.add(w, g, alpha=-lr)]
