"""A running mean."""

from __future__ import annotations

from typing import Any


class Mean:
    """Mean of the numbers since it was last taken."""

    def __init__(self) -> None:
        self.total, self.count = 0.0, 0

    def add(self, value: float) -> None:
        """Take in a number."""
        self.total += value
        self.count += 1

    def take(self) -> float:
        """The mean, NaN of no numbers; the next one starts anew."""
        mean = self.total / self.count if self.count else float("nan")
        self.total, self.count = 0.0, 0
        return mean

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs, plain data."""
        return {"total": self.total, "count": self.count}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.total, self.count = float(state["total"]), int(state["count"])
