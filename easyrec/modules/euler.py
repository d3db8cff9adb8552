"""Interactions of fields as complex numbers: products become sums of logarithms and angles."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from easyrec.modules.dropout import Dropout
from easyrec.modules.mlp import linear

SMALLEST = 1e-9
"""Added to squared moduli, so that logarithms and angles exist at 0."""


class EulerLayer(nn.Module):
    """``o_k = exp(sum_j a_kj log c_j + l_k) + relu(W c + b)``, of complex embeddings ``c_j = r_j + i p_j``.

    The first part is a product of the c_j to learned powers: in polar form its modulus is
    ``exp(sum_j a_kj log |c_j| + l_k)``, its angle ``sum_j a_kj arg c_j + t_k``. In the second one W and b act on all r and
    on all p alike.

    Shape:
        real, imaginary: (B, F, D)
        output: two (B, orders, D)

    Source:
        Tian et al., "EulerNet: Adaptive Feature Interaction Learning via Euler's Formula for CTR Prediction", SIGIR 2023,
        section 3.2.
    """

    def __init__(self, fields: int, dim: int, orders: int, dropout: float = 0.0, *, norm: bool = False) -> None:
        super().__init__()
        self.shape = (orders, dim)
        same = torch.eye(fields) if fields == orders else torch.softmax(torch.randn(orders, fields) / 0.01, dim=1)
        self.powers = nn.Parameter(same)  # a layer starts by passing fields on
        self.modulus = nn.Parameter(torch.randn(orders, dim) * 0.01)
        self.angle = nn.Parameter(torch.randn(orders, dim) * 0.01)
        self.implicit = linear(fields * dim, orders * dim)
        self.dropout = Dropout(dropout) if dropout else nn.Identity()
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(2)) if norm else None

    def forward(self, real: Tensor, imaginary: Tensor) -> tuple[Tensor, Tensor]:
        """Real and imaginary parts."""
        logarithm = 0.5 * torch.log(real * real + imaginary * imaginary + SMALLEST)
        angle = torch.atan2(imaginary, real)
        polar = torch.cat([logarithm, angle], dim=2)  # (B, F, 2D)
        powers = self.powers @ self.dropout(polar)  # (B, orders, 2D)
        modulus, angle = torch.chunk(powers, 2, dim=2)
        modulus, angle = torch.exp(modulus.float() + self.modulus), angle.float() + self.angle
        both = torch.cat([real.flatten(1), imaginary.flatten(1)])  # (2B, F D)
        implicit = torch.unflatten(torch.relu(self.implicit(self.dropout(both))), 1, self.shape)
        first, second = torch.chunk(implicit, 2)
        real, imaginary = modulus * torch.cos(angle) + first, modulus * torch.sin(angle) + second
        if self.norms is not None:
            real, imaginary = self.norms[0](real), self.norms[1](imaginary)
        return real, imaginary
