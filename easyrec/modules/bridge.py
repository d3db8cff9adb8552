"""Bridges between two networks of equal width, and what shares their fields out to both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from easyrec.modules.activation import BatchNorm
from easyrec.modules.mlp import linear

Join = Literal["product", "sum", "concat", "attention"]


class Bridge(nn.Module):
    """``x * y``, ``x + y``, ``relu(W [x, y] + b)``, or ``a x + (1 - a) y`` (attention).

    Attention is a softmax over ``p . relu(V x + c)`` and ``p . relu(V y + c)``.

    Shape:
        x, y, output: (B, width)

    Source:
        Chen et al., "EDCN", DLP-KDD 2021, section 4.1.
    """

    def __init__(self, width: int, join: Join) -> None:
        super().__init__()
        self.join = join
        self.layer = (
            linear(2 * width if join == "concat" else width, width) if join in ("concat", "attention") else None
        )
        self.score = linear(width, 1, bias=False) if join == "attention" else None

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """The joined vector."""
        if self.layer is None:
            return x * y if self.join == "product" else x + y
        if self.score is None:
            return torch.relu(self.layer(torch.cat([x, y], dim=1)))
        scores = [self.score(torch.relu(self.layer(part))) for part in (x, y)]
        weight = torch.sigmoid(scores[0] - scores[1])  # (B, 1), the softmax of two
        return y + weight * (x - y)


class Regulation(nn.Module):
    """``norm_k(softmax(g_k / t) * x)`` for two networks k, where every field has a weight in each g.

    Shape:
        input: (B, width)
        output: two of (B, width)

    Args:
        dims: Width of each field, side by side in the input.
        temperature: t; the higher, the more equal the weights.
        batch_norm: Normalise each output over the batch.

    Source:
        Chen et al., "EDCN", DLP-KDD 2021, section 4.2.
    """

    columns: Tensor

    def __init__(self, dims: Sequence[int], temperature: float, *, batch_norm: bool) -> None:
        super().__init__()
        self.temperature = temperature
        fields = torch.arange(len(dims)).repeat_interleave(torch.tensor(dims))
        self.register_buffer("columns", fields, persistent=False)
        self.weight = nn.Parameter(torch.ones(2, len(dims)))
        self.norms = nn.ModuleList(BatchNorm(sum(dims)) for _ in range(2)) if batch_norm else None

    def forward(self, input: Tensor) -> tuple[Tensor, Tensor]:
        """The input as each network gets it."""
        gates = torch.softmax(self.weight / self.temperature, dim=1)  # (2, F)
        first, second = gates.index_select(1, self.columns)  # (width,) each
        outputs = first * input, second * input
        if self.norms is not None:
            return self.norms[0](outputs[0]), self.norms[1](outputs[1])
        return outputs
