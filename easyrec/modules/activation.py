"""Activations by name, and batch normalisation that bears a batch of one row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from easyrec.workers import Workers

Activation: TypeAlias = Literal["relu", "leaky_relu", "prelu", "dice", "gelu", "silu", "sigmoid", "tanh"]


def activation(name: Activation, width: int) -> nn.Module:
    """The activation of a layer with `width` units."""
    plain = {
        "relu": nn.ReLU,
        "leaky_relu": nn.LeakyReLU,
        "gelu": nn.GELU,
        "silu": nn.SiLU,
        "sigmoid": nn.Sigmoid,
        "tanh": nn.Tanh,
    }
    if name == "prelu":
        return nn.PReLU(width)
    return Dice(width) if name == "dice" else plain[name]()


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation over rows; a training batch of fewer than two rows is normalised as in evaluation.

    Shape:
        input, output: (B, width)

    Attributes:
        workers: Those whose rows make the batch together, while several train.
    """

    workers: Workers | None = None

    def forward(self, input: Tensor) -> Tensor:
        """The normalised rows."""
        if self.training and self.workers is not None:
            return self._of_all(input, self.workers)
        if self.training and input.shape[0] < 2:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(input)

    def _of_all(self, input: Tensor, workers: Workers) -> Tensor:
        """The same with the mean and the variance of the rows of all workers."""
        count, mean, square = _moments(input, workers)
        if count < 2:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        if self.running_mean is not None and self.running_var is not None:
            assert self.momentum is not None
            assert self.num_batches_tracked is not None
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(square / (count - 1), self.momentum)
            self.num_batches_tracked.add_(1)
        scale = (square / count + self.eps).rsqrt()
        normal: Tensor = _Normalized.apply(input, mean, scale, count, workers)  # type: ignore[no-untyped-call]
        return normal if self.weight is None else normal * self.weight + self.bias


def _moments(input: Tensor, workers: Workers) -> tuple[float, Tensor, Tensor]:
    """Of the rows of all workers: their number, (width,) their mean, and the sum of squares around it."""
    rows = input.detach().float()
    local = rows.mean(dim=0) if len(rows) else rows.new_zeros(rows.shape[1])
    mine = torch.stack([torch.full_like(local, len(rows)), local, (rows - local).square().sum(dim=0)])
    counts, means, squares = workers.stacked(mine).double().unbind(dim=1)  # (workers, width) each
    count = counts.sum(dim=0)
    mean = (counts * means).sum(dim=0) / count.clamp_min(1)
    square = (squares + counts * (means - mean).square()).sum(dim=0)
    return float(count[0]), mean.float(), square.float()


class _Normalized(torch.autograd.Function):
    """``(x - mean) * scale`` where mean and scale come from the rows of all workers, x among them."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, mean: Tensor, scale: Tensor, count: float, workers: Workers) -> Tensor:
        output = ((input - mean) * scale).to(input.dtype)
        ctx.save_for_backward(output, scale)
        ctx.count, ctx.workers = count, workers
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = gradients
        output, scale = ctx.saved_tensors
        sums = torch.stack([gradient.sum(dim=0), (gradient * output).sum(dim=0)]).float()
        ctx.workers.add_up(sums)
        of_gradient, of_both = sums / ctx.count
        return ((gradient - of_gradient - output * of_both) * scale).to(gradient.dtype), None, None, None, None


class Dice(nn.Module):
    """``p x + (1 - p) a x`` with ``p = sigmoid((x - mean) / sqrt(var + eps))`` over the batch, a learned per unit.

    Shape:
        input, output: (N, width)

    Source:
        Zhou et al., "Deep Interest Network", KDD 2018, eq. (3).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = BatchNorm(width, eps=1e-8, affine=False)
        self.alpha = nn.Parameter(torch.zeros(width))

    def forward(self, input: Tensor) -> Tensor:
        """The activated rows."""
        gate = torch.sigmoid(self.norm(input))
        return input * (self.alpha + (1.0 - self.alpha) * gate)
