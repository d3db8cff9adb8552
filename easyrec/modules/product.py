"""The matrix product of a linear layer, by the faster of torch's two float32 libraries."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NARROW = 16
"""Fewer output columns than these are not worth the way to oneDNN."""


@cache
def onednn_is_faster() -> bool:
    """Whether float32 products should go to oneDNN rather than to MKL, where torch sends them by itself.

    On AMD processors MKL leaves AVX-512 unused: oneDNN takes half its time. The choice depends on the machine alone,
    so equal seeds give equal numbers on it.
    """
    info = Path("/proc/cpuinfo")
    amd = info.exists() and "AuthenticAMD" in info.read_text(encoding="utf-8", errors="replace")[:4096]
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    has_onednn = available and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return bool(amd and has_onednn and torch.backends.cpu.get_cpu_capability() == "AVX512")


class _Product(torch.autograd.Function):
    """``x W' + b`` with its three products, of output and of both gradients, in oneDNN."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x = x.contiguous()  # the weights' gradient of a slice would take a thousand times as long
        ctx.save_for_backward(x, weight)
        ctx.biased = bias is not None
        return _times(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        gradient = gradient.contiguous()
        dx, dw, db = ctx.needs_input_grad
        if torch.is_grad_enabled():  # a gradient of this gradient is asked for, which oneDNN's products have none of
            return (
                gradient @ weight if dx else None,
                gradient.t() @ x if dw else None,
                gradient.sum(0) if db and ctx.biased else None,
            )
        return (
            _times(gradient, weight.t(), None) if dx else None,
            outer(gradient, x) if dw else None,
            gradient.sum(0) if db and ctx.biased else None,
        )


def _times(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``x W' + b`` for x (n, k) and W (m, k)."""
    most = usual(x.shape[0])
    if most == x.shape[0]:
        return _onednn(x, weight, bias)
    return torch.cat([_onednn(x[:most], weight, bias), F.linear(x[most:], weight, bias)])


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return product


def usual(rows: int) -> int:
    """How many of some rows oneDNN multiplies; torch does the rest, a sixteenth at most.

    oneDNN keeps a plan and its memory for each of the last thousand shapes. The steps of sequences are of another number
    in every batch, and would take gigabytes; so there are but sixteen numbers from each power of two to the next.
    """
    return rows - rows % max(1 << rows.bit_length() >> 5, 1)


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x W' + b``: `torch.nn.functional.linear`, where training gains from it through oneDNN.

    Evaluation, export and compiled graphs keep torch's own operator.

    Shape:
        x: (n, k); weight: (m, k); bias: (m,)
        output: (n, m)
    """
    trains = torch.is_grad_enabled() and (weight.requires_grad or x.requires_grad)
    narrow = weight.shape[0] < NARROW or x.dim() != 2
    plain = torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu") or not trains or narrow
    if plain or x.dtype != torch.float32 or x.device.type != "cpu" or not x.numel() or not onednn_is_faster():
        return F.linear(x, weight, bias)
    result: Tensor = _Product.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    return result


def times(x: Tensor, weight: Tensor) -> Tensor:
    """``x W'`` as `product` has it in training, for functions that know their gradients themselves."""
    if x.dtype != torch.float32 or x.device.type != "cpu" or not x.numel() or not onednn_is_faster():
        return F.linear(x, weight)
    return _times(x, weight, None)


def outer(gradient: Tensor, x: Tensor) -> Tensor:
    """``G' x``, the gradient of a weight, for G (n, m) and x (n, k), both contiguous; as fast as `times`."""
    if x.dtype != torch.float32 or x.device.type != "cpu" or not x.numel() or not onednn_is_faster():
        return gradient.t() @ x
    most = usual(x.shape[0])
    product = _onednn(gradient[:most].t(), x[:most].t(), None)
    return product if most == x.shape[0] else product.addmm_(gradient[most:].t(), x[most:])


class Linear(nn.Linear):
    """`torch.nn.Linear` over `product`."""

    def forward(self, input: Tensor) -> Tensor:
        """(n, out_features)."""
        return product(input, self.weight, self.bias)
