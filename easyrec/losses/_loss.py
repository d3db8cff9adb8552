"""The contract of the family of losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from easyrec.config.model import TaskConfig

Groups = Mapping[str, Tensor]
"""By column: (B,) int64, equal where the raw column's values are."""


class Loss(nn.Module):
    """The training loss of one task, and its link function.

    A loss of rows defines `of_rows`; one that compares rows defines `forward`. Both define `predict`.

    Args:
        config: The loss's config.
        task: What it is for.
    """

    def __init__(self, config: Any, task: TaskConfig) -> None:
        super().__init__()
        self.config, self.task = config, task

    def forward(
        self, logits: Tensor, labels: Tensor, weights: Tensor | None = None, groups: Groups | None = None
    ) -> Tensor:
        """``sum_i w_i l_i / sum_i w_i``: the weighted mean; 0 where all weights are 0 or there are no rows.

        Args:
            logits: (B,), or (B, C) for a loss with several outputs; taken as float32.
            labels: (B,) float32.
            weights: (B,), not negative, 0 for rows that do not count; None: ones.
            groups: Sessions by column, of the config's `columns`.

        Returns:
            Scalar float32.
        """
        return mean(self.of_rows(logits.float(), labels), weights)

    def of_rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(B,), the loss of each row."""
        raise TypeError(f"{type(self).__name__} must define of_rows")

    def predict(self, logits: Tensor) -> Tensor:
        """The prediction of each row: probability, value or (B, C) probabilities."""
        raise TypeError(f"{type(self).__name__} must define predict")

    def shifted(self, logits: Tensor, shift: float) -> Tensor:
        """The logits of a binary task with its log-odds moved by `shift`."""
        return logits + shift

    def start(self, labels: Tensor, weights: Tensor | None = None) -> Tensor | None:
        """(outputs,), the constant that fits some first labels best; None: the model starts at 0.

        Args:
            labels: (B,) float32, at least one row.
            weights: (B,), some above 0; None: ones.
        """
        return None


def counted(task: TaskConfig, labels: Mapping[str, Tensor], weights: Tensor | None) -> Tensor | None:
    """(B,), the weights of the rows that count for a task; None: all count alike.

    Args:
        task: The task.
        labels: (B,) float32 by label.
        weights: (B,) sample weights, or None.
    """
    if task.rows is None:
        return weights
    mask: Tensor = task.rows.rows(labels).float()
    return mask if weights is None else weights * mask


def mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """The weighted mean; 0 where all weights are 0 or there are no values."""
    if weights is None:
        return values.sum() / max(values.shape[0], 1)
    return (values * weights).sum() / weights.sum().clamp_min(1e-12)
