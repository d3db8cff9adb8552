"""The contract of the family of composed embeddings."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Composition(nn.Module):
    """From what the tables give for an id, side by side, to its embedding.

    Shape:
        parts: (N, sum of `dims`)
        output: (N, D)

    Args:
        config: The kind's config.
        dims: Widths of what the tables give.
        dim: D.
    """

    def __init__(self, config: Any, dims: tuple[int, ...], dim: int) -> None:
        super().__init__()
        self.config, self.dims, self.dim = config, dims, dim

    def forward(self, parts: Tensor) -> Tensor:
        """The embeddings."""
        raise TypeError(f"{type(self).__name__} must define forward")

    @property
    def auxiliary(self) -> Tensor | None:
        """A loss that training adds to those of the tasks; None: there is none."""
        return None

    def idle(self, rows: Tensor) -> Tensor:
        """(n,) which rows (n, d) of its one table give zeros, as zeros would: they need not be stored."""
        return torch.zeros(len(rows), dtype=torch.bool)


def combined(operation: str, parts: tuple[Tensor, ...]) -> Tensor:
    """``sum_j p_j``, ``p_1 * prod_j (1 + p_j)`` or ``[p_1, .., p_k]``.

    In the product the first part starts small, as embeddings do, and each other one as a factor near 1.
    """
    if operation == "concat":
        return torch.cat(parts, dim=1)
    result = parts[0]
    for part in parts[1:]:
        result = result + part if operation == "add" else result * (1.0 + part)
    return result
