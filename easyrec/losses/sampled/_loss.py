"""The contract of losses over a position's candidates."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from easyrec.losses._loss import mean


class SampledLoss(nn.Module):
    """The mean over positions of what their candidates cost; a loss defines `of_positions`.

    Args:
        config: The loss's config.
        items: Items of the catalogue.
    """

    def __init__(self, config: Any, items: int) -> None:
        super().__init__()
        self.config, self.items = config, items

    def forward(self, logits: Tensor, columns: Tensor, weights: Tensor | None = None) -> Tensor:
        """``sum_p w_p l_p / sum_p w_p``; 0 where all weights are 0 or there are no positions.

        Args:
            logits: (P, C) of all candidates, -inf for those that a position is spared.
            columns: (P,) int64, where the position's own item stands.
            weights: (P,), not negative; None: ones.

        Returns:
            Scalar float32.
        """
        return mean(self.of_positions(logits.float(), columns), weights)

    def of_positions(self, logits: Tensor, columns: Tensor) -> Tensor:
        """(P,), the loss of each position."""
        raise TypeError(f"{type(self).__name__} must define of_positions")


def own(logits: Tensor, columns: Tensor) -> Tensor:
    """(P, 1), the logits of the positions' own items."""
    return logits.gather(1, columns.unsqueeze(1))


def others(logits: Tensor, columns: Tensor) -> Tensor:
    """(P, C), the logits with -inf for the positions' own items."""
    return logits.scatter(1, columns.unsqueeze(1), float("-inf"))
