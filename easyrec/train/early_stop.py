"""The best evaluation so far, and whether to go on."""

from __future__ import annotations

import math
from typing import Any


class EarlyStop:
    """Remembers the best value of one metric and counts the evaluations without a better one.

    Args:
        metric: Name of the metric, as in the evaluation's result.
        higher_is_better: The direction.
        patience: Evaluations in a row without a better one before training stops; None: it never does.
        min_delta: By how much a value must beat the best one.
    """

    def __init__(self, metric: str, *, higher_is_better: bool, patience: int | None, min_delta: float = 0.0) -> None:
        self.metric, self.higher_is_better = metric, higher_is_better
        self.patience, self.min_delta = patience, min_delta
        self.best: float | None = None
        self.best_step: int | None = None
        self.waited = 0

    def update(self, value: float, step: int) -> bool:
        """Take in an evaluation; True where it is the best so far. NaN never is."""
        if self._better(value):
            self.best, self.best_step, self.waited = value, step, 0
            return True
        self.waited += 1
        return False

    def _better(self, value: float) -> bool:
        if math.isnan(value):
            return False
        if self.best is None:
            return True
        gain = value - self.best if self.higher_is_better else self.best - value
        return gain > self.min_delta

    @property
    def exhausted(self) -> bool:
        """Whether patience has run out."""
        return self.patience is not None and self.waited >= self.patience

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs, plain data."""
        return {"metric": self.metric, "best": self.best, "best_step": self.best_step, "waited": self.waited}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`; the best of another metric is forgotten."""
        if state["metric"] == self.metric:
            self.best, self.best_step, self.waited = state["best"], state["best_step"], int(state["waited"])
