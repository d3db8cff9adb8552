"""How two vectors become one number: a bilinear form."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class BilinearFusion(nn.Module):
    """``sum_h x_h' W_h y_h`` over the h-th parts of x and y, which are cut into equally many.

    Weights start normal with variance 2 / (inputs + 1), as those of a linear layer over all products.

    Shape:
        x: (B, width); y: (B, other)
        output: (B, 1), float32

    Source:
        Mao et al., "FinalMLP", AAAI 2023, eq. (9)-(11).
    """

    def __init__(self, width: int, other: int, heads: int) -> None:
        super().__init__()
        std = math.sqrt(2.0 / (width * other // heads + 1))
        self.weight = nn.Parameter(std * torch.randn(heads, width // heads, other // heads))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """The sum over the heads."""
        heads, width, other = self.weight.shape
        x = torch.unflatten(x, 1, (heads, width)).transpose(0, 1)  # (heads, B, width)
        y = torch.unflatten(y, 1, (heads, other)).transpose(0, 1)  # (heads, B, other)
        product = torch.bmm(x, self.weight) * y
        return product.sum(dim=(0, 2), dtype=torch.float32).unsqueeze(1)
