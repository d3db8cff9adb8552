"""The second-order part of a factorization machine, as a number or as a vector."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from easyrec.modules import native


class FM(nn.Module):
    """Sum of the dot products of all pairs of field embeddings.

    For fields ``e_1 .. e_F`` computes ``sum_{i<j} <e_i, e_j>`` in O(F * D), as half of "square of the sum minus sum of
    the squares".

    Shape:
        fields: (B, F, D), one embedding per field
        output: (B, 1), unscaled logit

    Source:
        Rendle, "Factorization Machines", ICDM 2010, eq. (1) and lemma 3.1.
    """

    def forward(self, fields: Tensor) -> Tensor:
        """The sum over pairs."""
        plain = not self.training or torch.compiler.is_compiling()  # evaluation gives what is exported, bit for bit
        if plain or fields.device.type != "cpu" or fields.dtype != torch.float32:
            return pooled(fields).sum(dim=1, keepdim=True)
        output: Tensor = _Fused.apply(fields)  # type: ignore[no-untyped-call]
        return output


class BiInteraction(nn.Module):
    """Sum of the element-wise products of all pairs of field embeddings: `FM` before its last sum.

    Shape:
        fields: (B, F, D)
        output: (B, D)

    Source:
        He and Chua, "Neural Factorization Machines", SIGIR 2017, eq. (3) and (4).
    """

    def forward(self, fields: Tensor) -> Tensor:
        """The sum over pairs."""
        return pooled(fields)


def pooled(fields: Tensor) -> Tensor:
    """(B, D), ``sum_{i<j} e_i * e_j`` as half of "square of the sum minus sum of the squares"."""
    return 0.5 * (fields.sum(dim=1).square() - fields.square().sum(dim=1))


class _Fused(torch.autograd.Function):
    """One pass over the fields in each direction: d out / d e_i = total - e_i."""

    @staticmethod
    def forward(ctx: Any, fields: Tensor) -> Tensor:
        fields = fields.detach().contiguous()
        total = fields.new_empty(fields.shape[0], fields.shape[2])
        output = fields.new_empty(fields.shape[0])
        native.fm_forward(fields.numpy(), total.numpy(), output.numpy())
        ctx.save_for_backward(fields, total)
        return output.unsqueeze(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        fields, total = ctx.saved_tensors
        result = torch.empty_like(fields)
        native.fm_backward(
            fields.numpy(), total.numpy(), gradient.float().squeeze(1).contiguous().numpy(), result.numpy()
        )
        return result
