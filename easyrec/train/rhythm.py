"""When something is due: every so many steps, epochs or seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from easyrec.config.train import Every

# A fraction of an epoch is a quotient of row counts: the sum of ten tenths must count as one.
_ROUNDING = 1e-9


class Rhythm:
    """The beat of `every`; a beat that was due stays due until `mark` is called.

    Args:
        every: The interval, in exactly one unit.
        clock: Seconds that never run backwards.
    """

    def __init__(self, every: Every, clock: Callable[[], float] = time.monotonic) -> None:
        self.every, self.clock = every, clock
        self.beats = 0
        self.started = clock()

    def due(self, step: int, epochs: float) -> bool:
        """Whether the interval has passed since the last mark.

        Args:
            step: Updates done.
            epochs: Epochs done, with the fraction of the current one.
        """
        if self.every.seconds is not None:
            return self.clock() - self.started >= self.every.seconds
        return self._passed(step, epochs) > self.beats

    def mark(self, step: int, epochs: float) -> None:
        """What was due has been done."""
        self.beats = self._passed(step, epochs)
        self.started = self.clock()

    def _passed(self, step: int, epochs: float) -> int:
        if self.every.steps is not None:
            return step // self.every.steps
        if self.every.epochs is not None:
            return int(epochs / self.every.epochs + _ROUNDING)
        return 0

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs, plain data. Seconds start anew."""
        return {"beats": self.beats}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.beats = int(state["beats"])
