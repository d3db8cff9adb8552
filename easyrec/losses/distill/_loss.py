"""The contract of losses of what a teacher says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from easyrec.config.model import TaskConfig


class DistillLoss(nn.Module):
    """Base of both kinds.

    Args:
        config: The loss's config.
        task: Whose predictions are compared; None of a loss of layers.
    """

    def __init__(self, config: Any, task: TaskConfig | None = None) -> None:
        super().__init__()
        self.config, self.task = config, task


class ScoreLoss(DistillLoss):
    """A loss of predictions; 0 where nothing is to be learned."""

    def forward(
        self, logits: Tensor, wanted: Tensor, weights: Tensor | None = None, codes: Tensor | None = None
    ) -> Tensor:
        """Scalar float32.

        Args:
            logits: The student's, float32: (B,) log-odds or values, (B, C) of classes.
            wanted: The teacher's, of the same shape.
            weights: (B,), not negative, 0 for rows that do not count; None: ones.
            codes: (B,) int64, equal where rows are of one list; None: all are. For losses that compare rows.
        """
        raise TypeError(f"{type(self).__name__} must define forward")


class LayerLoss(DistillLoss):
    """A loss of a layer's output.

    A layer gives a vector a row, or a number a step of a sequence: `steps` says which of both the loss is of.
    """

    steps: bool = False

    def fit(self, mine: int, theirs: int) -> None:
        """Make what the loss learns itself, for widths of both layers."""

    def forward(
        self,
        mine: Tensor,
        theirs: Tensor,
        weights: Tensor | None = None,
        lengths: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Scalar float32.

        Args:
            mine: (B, D) float32, or (N,) of steps.
            theirs: (B, E) float32, or (M,) of steps.
            weights: (B,), as in `ScoreLoss`.
            lengths: Of steps: (B,) int64 each, how many a row has here and there, the newest last.
        """
        raise TypeError(f"{type(self).__name__} must define forward")
