"""Pairs of fields: their products, and sums of them with a weight per pair."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Products(nn.Module):
    """The element-wise products of all pairs of fields, in the order (1, 2), (1, 3) .. (F - 1, F).

    Shape:
        fields: (B, F, D)
        output: (B, F (F - 1) / 2, D)
    """

    left: Tensor
    right: Tensor

    def __init__(self, fields: int) -> None:
        super().__init__()
        left, right = torch.triu_indices(fields, fields, offset=1)
        self.register_buffer("left", left, persistent=False)
        self.register_buffer("right", right, persistent=False)

    def forward(self, fields: Tensor) -> Tensor:
        """The products."""
        return fields.index_select(1, self.left) * fields.index_select(1, self.right)


class InnerProducts(nn.Module):
    """The dot products of all pairs of fields, in the order of `Products`.

    Shape:
        fields: (B, F, D)
        output: (B, F (F - 1) / 2)

    Source:
        Qu et al., "Product-based Neural Networks", ICDM 2016, section III-B: their matrix p, which is symmetric,
        without its diagonal.
    """

    upper: Tensor

    def __init__(self, fields: int) -> None:
        super().__init__()
        left, right = torch.triu_indices(fields, fields, offset=1)
        self.register_buffer("upper", left * fields + right, persistent=False)

    def forward(self, fields: Tensor) -> Tensor:
        """The dot products."""
        return (fields @ fields.transpose(1, 2)).flatten(1).index_select(1, self.upper)


class OuterProducts(nn.Module):
    """The sum of the outer products of all pairs of fields, ``sum_i sum_j e_i e_j' = s s'`` with ``s = sum_i e_i``.

    The matrix is symmetric, so its upper half says all; a layer above it can weigh no more.

    Shape:
        fields: (B, F, D)
        output: (B, D (D + 1) / 2)

    Source:
        Qu et al., "Product-based Neural Networks", ICDM 2016, section III-C.
    """

    left: Tensor
    right: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        left, right = torch.triu_indices(dim, dim)
        self.register_buffer("left", left, persistent=False)
        self.register_buffer("right", right, persistent=False)

    def forward(self, fields: Tensor) -> Tensor:
        """The upper half of the summed matrix, row by row."""
        total = fields.sum(dim=1)  # (B, D)
        return total.index_select(1, self.left) * total.index_select(1, self.right)


class FieldAwareProducts(nn.Module):
    """The dot products ``<v_ij, v_ji>`` of all pairs of fields, where v_ij is the embedding of field i for field j.

    Shape:
        paired: (B, F, F - 1, D): of field i those for the fields 1 .. i - 1, i + 1 .. F
        output: (B, F (F - 1) / 2), in the order of `Products`

    Source:
        Juan et al., "Field-aware Factorization Machines", RecSys 2016, eq. (4).
    """

    order: Tensor
    back: Tensor

    def __init__(self, fields: int) -> None:
        super().__init__()
        self.fields = fields
        i, j = torch.triu_indices(fields, fields, offset=1)
        order = torch.cat([i * (fields - 1) + j - 1, j * (fields - 1) + i])  # all v_ij of i < j, then their v_ji
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("back", order.argsort(), persistent=False)

    def forward(self, paired: Tensor) -> Tensor:
        """The dot products."""
        flat = paired.flatten(1, 2)  # (B, F (F - 1), D)
        if not self.training or torch.compiler.is_compiling():
            ordered = flat.index_select(1, self.order)
        else:
            ordered = _Reordered.apply(flat, self.order, self.back)  # type: ignore[no-untyped-call]
        left, right = ordered.chunk(2, dim=1)
        return (left * right).sum(dim=2)


class _Reordered(torch.autograd.Function):
    """`index_select` by a permutation, whose gradient is one by its inverse: nothing to add up."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, order: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(back)
        return values.index_select(1, order)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (back,) = ctx.saved_tensors
        return gradient.index_select(1, back), None, None


class WeightedPairs(nn.Module):
    """``sum_{i<j} e_i' M_ij e_j`` with a learned matrix M_ij per pair of fields.

    `scalar`: ``M_ij = r_ij I``; `vector`: ``M_ij = diag(r_ij)``; `matrix`: any. The pairs are never laid out: with U
    holding the M_ij of i < j, and zeros, it is the dot product of ``e`` and ``U e``, one product of matrices.

    Weights start normal with variance 2 / (rows + columns) of the matrix of all of them, or of each M_ij.

    Shape:
        fields: (B, F, D)
        output: (B, 1), unscaled logit

    Args:
        fields: F, two or more.
        dim: D.
        kind: What M_ij may be.

    Source:
        Pan et al., "Field-weighted Factorization Machines", WWW 2018, section 3; Sun et al., "FM^2: Field-matrixed
        Factorization Machines", WWW 2021, section 3.
    """

    places: Tensor

    def __init__(self, fields: int, dim: int, kind: Literal["scalar", "vector", "matrix"]) -> None:
        super().__init__()
        self.fields, self.kind = fields, kind
        i, j = torch.triu_indices(fields, fields, offset=1)
        places = torch.full((fields, fields), len(i))  # the last is the zero of i >= j
        places[i, j] = torch.arange(len(i))
        self.register_buffer("places", places.flatten(), persistent=False)
        shape = {"scalar": (1,), "vector": (dim,), "matrix": (dim, dim)}[kind]
        std = (2.0 / (2 * dim if kind == "matrix" else len(i) + shape[0])) ** 0.5
        self.weight = nn.Parameter(torch.randn(len(i), *shape) * std)

    def upper(self) -> Tensor:
        """(F, F, ...), the weight of each pair at i < j, else 0."""
        zero = torch.zeros_like(self.weight[:1])
        return torch.unflatten(torch.cat([self.weight, zero]).index_select(0, self.places), 0, (self.fields, -1))

    def forward(self, fields: Tensor) -> Tensor:
        """The sum over pairs."""
        upper = self.upper()
        if self.kind == "scalar":
            product = torch.einsum("fg,bgd->bfd", upper.squeeze(2), fields)
        elif self.kind == "vector":
            product = torch.einsum("fgd,bgd->bfd", upper, fields)
        else:
            square = upper.transpose(1, 2).flatten(2).flatten(0, 1)  # (F D, F D)
            product = torch.unflatten(fields.flatten(1) @ square.t(), 1, (self.fields, -1))
        return (fields * product).sum(dim=(1, 2)).unsqueeze(1)
