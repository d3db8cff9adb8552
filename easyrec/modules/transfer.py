"""The information transfer of AITM."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from easyrec.modules.mlp import linear


class Transfer(nn.Module):
    """``z = sum_u a_u h3(u)`` over ``u`` in ``{g(before), own}``, with ``a = softmax(<h1(u), h2(u)> / sqrt(dim))``.

    ``own`` comes to the same width by a layer of its own, g is a layer with ReLU.

    Shape:
        before: (B, width of the task before); own: (B, width of the task itself)
        output: (B, dim)

    Source:
        Xi et al., "AITM", KDD 2021, section 3.2.
    """

    def __init__(self, before: int, own: int, dim: int) -> None:
        super().__init__()
        self.passed, self.own = linear(before, dim), linear(own, dim)
        self.key, self.query, self.value = linear(dim, dim), linear(dim, dim), linear(dim, dim)
        self.scale = dim**-0.5

    def forward(self, before: Tensor, own: Tensor) -> Tensor:
        """The mixture of both."""
        u = torch.stack([torch.relu(self.passed(before)), self.own(own)], dim=1)  # (B, 2, dim)
        scores = (self.key(u) * self.query(u)).sum(dim=2, keepdim=True).float() * self.scale  # (B, 2, 1)
        shares = torch.softmax(scores, dim=1).to(u.dtype)
        mixed: Tensor = (shares * self.value(u)).sum(dim=1)
        return mixed
