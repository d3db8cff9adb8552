"""Running means."""

from __future__ import annotations

from collections.abc import Mapping
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


class LossMeans(Mean):
    """Means of a loss and of its parts since they were last taken."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: dict[str, Mean] = {}

    def add_all(self, value: float, parts: Mapping[str, float]) -> None:
        """Take in a loss and its parts, which are noted where there are several."""
        self.add(value)
        for name, part in parts.items() if len(parts) > 1 else ():
            self.parts.setdefault(name, Mean()).add(part)

    def take_all(self) -> dict[str, Any]:
        """`loss`, and `losses` by part where there are several; the next ones start anew."""
        parts = {name: mean.take() for name, mean in self.parts.items()}
        self.parts = {}
        return {"loss": self.take()} | ({"losses": parts} if parts else {})

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs, plain data."""
        return super().state() | {"parts": {name: mean.state() for name, mean in self.parts.items()}}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        super().load_state(state)
        self.parts = {name: Mean() for name in state.get("parts", {})}
        for name, mean in self.parts.items():
            mean.load_state(state["parts"][name])
