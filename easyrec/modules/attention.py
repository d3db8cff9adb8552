"""Weights of self-attention, and what they mix, by kernels while training."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from easyrec.modules import native


def attention_weights(maps: Tensor, fields: int, heads: int, *, scale: bool, centred: bool = False) -> Tensor:
    """``softmax(Q K' / s)`` over the fields of each row, head by head; s is the root of the head's width or 1.

    Evaluation, export and compiled graphs keep torch's operators.

    Shape:
        maps: (B * fields, 2 * units), queries and keys side by side
        output: (B, heads, fields, fields), float32

    Args:
        maps: The maps of all fields, row after row.
        fields: Fields of a row.
        heads: Parts of the units.
        scale: Divide by the root of the head's width.
        centred: Take off the queries their mean over the fields.
    """
    factor = (maps.shape[1] // 2 // heads) ** -0.5 if scale else 1.0
    if _native_takes(maps):
        weights: Tensor = _Weights.apply(maps.contiguous(), fields, heads, factor, centred)  # type: ignore[no-untyped-call]
        return weights
    query, key = (_by_head(part, fields, heads) for part in torch.chunk(maps, 2, dim=1))
    if centred:
        query = query - query.mean(dim=2, keepdim=True)
    return torch.softmax((query * factor) @ key.transpose(2, 3), dim=3).float()


def attention_mix(weights: Tensor, maps: Tensor, units: int, residual: Tensor | None = None) -> Tensor:
    """``A V``, row by row and head by head, plus a residual.

    Shape:
        weights: (B, heads, F, F), float32
        maps: (B * F, units), the values, or (B * F, 2 * units), values and residual side by side
        residual: (B * F, units), where it is none of the maps
        output: (B * F, units)
    """
    if _native_takes(maps):
        if residual is not None:
            residual = residual.to(maps.dtype).contiguous()
        mixed: Tensor = _Mix.apply(weights.contiguous(), maps.contiguous(), units, residual)  # type: ignore[no-untyped-call]
        return mixed
    values, *mapped = torch.split(maps, units, dim=1)
    values = _by_head(values, weights.shape[2], weights.shape[1])
    output = (weights.to(values.dtype) @ values).transpose(1, 2).flatten(2).flatten(0, 1)
    added = mapped[0] if mapped else residual
    return output if added is None else output + added


def _by_head(part: Tensor, fields: int, heads: int) -> Tensor:
    """(B, heads, F, units / heads)."""
    return torch.unflatten(torch.unflatten(part, 1, (heads, -1)), 0, (-1, fields)).transpose(1, 2)


def _native_takes(maps: Tensor) -> bool:
    trains = torch.is_grad_enabled() and maps.requires_grad and not torch.compiler.is_compiling()
    return trains and maps.device.type == "cpu" and maps.dtype in (torch.float32, torch.bfloat16)


def _array(tensor: Tensor) -> np.ndarray:
    """The same memory; bfloat16 as uint16."""
    tensor = tensor.detach()
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _kernel(name: str, dtype: torch.dtype) -> Any:
    return getattr(native, f"{name}_bf16" if dtype == torch.bfloat16 else name)


class _Weights(torch.autograd.Function):
    """One pass over the maps in each direction; nothing is laid out by head."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, fields: int, heads: int, factor: float, centred: bool) -> Tensor:
        weights = torch.empty(maps.shape[0] // fields, heads, fields, fields)
        kernel = _kernel("attention_weights", maps.dtype)
        kernel(_array(maps), factor, centred, weights.numpy(), torch.get_num_threads())
        ctx.save_for_backward(maps, weights)
        ctx.keys = (factor, centred)
        return weights

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        maps, weights = ctx.saved_tensors
        result = torch.empty_like(maps)
        kernel = _kernel("attention_weights_backward", maps.dtype)
        arrays = (_array(maps), weights.numpy(), gradient.float().contiguous().numpy())
        kernel(*arrays, *ctx.keys, _array(result), torch.get_num_threads())
        return result, None, None, None, None


class _Mix(torch.autograd.Function):
    """The same for the values."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, maps: Tensor, units: int, residual: Tensor | None) -> Tensor:
        output = maps.new_empty(maps.shape[0], units)
        added = None if residual is None else _array(residual)
        kernel = _kernel("attention_mix", maps.dtype)
        kernel(weights.detach().numpy(), _array(maps), added, _array(output), torch.get_num_threads())
        ctx.save_for_backward(weights, maps)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, Tensor | None]:
        weights, maps = ctx.saved_tensors
        gradient = gradient.to(maps.dtype).contiguous()
        of_weights, of_maps = torch.empty_like(weights), torch.empty_like(maps)
        kernel = _kernel("attention_mix_backward", maps.dtype)
        arrays = (weights.numpy(), _array(maps), _array(gradient), of_weights.numpy(), _array(of_maps))
        kernel(*arrays, torch.get_num_threads())
        return of_weights, of_maps, None, gradient if ctx.needs_input_grad[3] else None
