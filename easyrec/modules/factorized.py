"""The factorized interaction layer of FINAL."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from easyrec.modules.mlp import linear

Residual = Literal["concat", "sum"]


class FactorizedInteraction(nn.Module):
    """``[u, u * v]`` (concat) or ``u + u * v`` (sum), where u and v are linear in the input: products of all pairs.

    Shape:
        input: (B, width)
        output: (B, units)

    Args:
        width: Width of the input.
        units: Width of the output; even with `concat`.
        residual: How u joins the products.

    Source:
        Zhu et al., "FINAL", SIGIR 2023, eq. (3)-(5).
    """

    def __init__(self, width: int, units: int, residual: Residual) -> None:
        super().__init__()
        self.residual = residual
        self.maps = linear(width, units if residual == "concat" else 2 * units)

    def forward(self, input: Tensor) -> Tensor:
        """The linear part and the products."""
        kept, other = torch.chunk(self.maps(input), 2, dim=1)
        if self.residual == "concat":
            return torch.cat([kept, kept * other], dim=1)
        return torch.addcmul(kept, kept, other)


class FieldGate(nn.Module):
    """``[e, e * g]``, where each dimension's gates of all fields are linear in that dimension of all fields.

    Starts at ``g = 1``.

    Shape:
        input: (B, F, D)
        output: (B, 2 F, D)

    Source:
        Zhu et al., "FINAL", SIGIR 2023, eq. (1) and (2).
    """

    def __init__(self, fields: int) -> None:
        super().__init__()
        self.gate = linear(fields, fields)
        nn.init.zeros_(self.gate.weight)
        nn.init.ones_(self.gate.bias)

    def forward(self, input: Tensor) -> Tensor:
        """The fields and the gated fields."""
        gates = self.gate(input.transpose(1, 2)).transpose(1, 2)  # (B, F, D)
        return torch.cat([input, input * gates], dim=1)
