"""Bounds on the gradient, tables included."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from easyrec.config.train import GradClip

# torch.nn.utils.clip_grad_norm_ divides by norm + 1e-6; equal numbers are worth more than a nicer formula.
_EPSILON = 1e-6


def clip(gradients: Sequence[Tensor], table_square_sum: float, bounds: GradClip) -> float:
    """Bound the dense gradients in place and return the factor for those of the tables.

    Args:
        gradients: Of the dense parameters.
        table_square_sum: Sum of the squared gradients of all tables; read where a norm is bounded.
        bounds: `value` bounds each element of the dense gradients, before `norm` bounds the norm of everything.

    Returns:
        What the tables' gradients are to be multiplied by, at most 1.
    """
    dense = list(gradients)
    if bounds.value is not None and dense:
        torch._foreach_clamp_min_(dense, -bounds.value)
        torch._foreach_clamp_max_(dense, bounds.value)
    if bounds.norm is None:
        return 1.0
    squares = sum(norm**2 for norm in torch.stack(torch._foreach_norm(dense)).tolist()) if dense else 0.0
    factor = bounds.norm / (math.sqrt(squares + table_square_sum) + _EPSILON)
    if factor >= 1.0:
        return 1.0
    if dense:
        torch._foreach_mul_(dense, factor)
    return factor
