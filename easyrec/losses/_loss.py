"""The contract of the family of losses."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class Loss(nn.Module):
    """The training loss of one task, and its link function.

    A loss defines `of_rows` and `predict`.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    def forward(self, logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """``sum_i w_i l_i / sum_i w_i``: the weighted mean; 0 where all weights are 0 or there are no rows.

        Args:
            logits: (B,), or (B, C) for a loss with several outputs; taken as float32.
            labels: (B,) float32.
            weights: (B,), not negative, 0 for rows that do not count; None: ones.

        Returns:
            Scalar float32.
        """
        rows = self.of_rows(logits.float(), labels)
        if weights is None:
            return rows.sum() / max(rows.shape[0], 1)
        return (rows * weights).sum() / weights.sum().clamp_min(1e-12)

    def of_rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(B,), the loss of each row."""
        raise TypeError(f"{type(self).__name__} must define of_rows")

    def predict(self, logits: Tensor) -> Tensor:
        """The prediction of each row: probability, value or (B, C) probabilities."""
        raise TypeError(f"{type(self).__name__} must define predict")
