"""DIN in plain torch, as tutorials write it: the history repeated for each candidate, the attention's inputs side by side."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Dice(nn.Module):
    """The paper's activation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width, eps=1e-8, affine=False)
        self.alpha = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.norm(x.flatten(0, -2)).view_as(x))
        return gate * x + (1 - gate) * self.alpha * x


def mlp(width: int, hidden: list[int], bias: bool) -> nn.Sequential:
    """Linear layers with Dice between them, and one unit at the end."""
    layers: list[nn.Module] = []
    for units in hidden:
        layers += [nn.Linear(width, units), Dice(units)]
        width = units
    return nn.Sequential(*layers, nn.Linear(width, 1, bias=bias))


class DIN(nn.Module):
    """Users, items and a history of items of equal length for all rows."""

    def __init__(self, users: int, items: int, dim: int, attention: list[int], hidden: list[int]) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(users, dim), nn.Embedding(items, dim)
        self.attention = mlp(4 * dim, attention, bias=True)
        self.mlp = mlp(3 * dim, hidden, bias=True)

    def forward(self, user: Tensor, item: Tensor, history: Tensor) -> Tensor:
        """(B,) logits.

        Args:
            user: (B,) ids.
            item: (B,) ids.
            history: (B, L) ids.
        """
        steps, candidate = self.item(history), self.item(item)  # (B, L, D), (B, D)
        query = candidate.unsqueeze(1).expand_as(steps)
        weights = self.attention(torch.cat([query, steps, query - steps, query * steps], dim=2))  # (B, L, 1)
        interest = (weights * steps).sum(dim=1)
        return self.mlp(torch.cat([self.user(user), candidate, interest], dim=1)).squeeze(1)
