"""Learning rates over time: the closed forms of `easyrec.config.train`'s schedules, and the one that reacts."""

from __future__ import annotations

import math
from typing import Any

from easyrec.config.train import Constant, Cosine, Exponential, Plateau, Schedule, Steps


class Rate:
    """The learning rate of one optimizer.

    Before schedules apply, the first `warmup_steps` steps run at 1/w, 2/w, .. w/w of the scheduled rate.

    Args:
        lr: The rate that the schedule starts from.
        schedule: How it changes.
        steps: Of the whole training, where they are known ahead.

    Raises:
        ValueError: The schedule needs the number of steps.
    """

    def __init__(self, lr: float, schedule: Schedule, steps: int | None = None) -> None:
        self.lr, self.schedule = lr, schedule
        self.horizon = (schedule.steps or steps or 0) if isinstance(schedule, Cosine) else 0
        if isinstance(schedule, Cosine) and not self.horizon:
            raise ValueError("only reading tells how long this training is: give the schedule its 'steps'")
        self.reductions = 0
        self.waited = 0

    def at(self, step: int) -> float:
        """The rate of the update that follows `step` updates."""
        warmup = self.schedule.warmup_steps
        rate = self._scheduled(step)
        return rate * (step + 1) / warmup if step < warmup else rate

    def _scheduled(self, step: int) -> float:
        schedule = self.schedule
        match schedule:
            case Constant():
                return self.lr
            case Exponential():
                exponent = step / schedule.steps
                power = math.floor(exponent) if schedule.staircase else exponent
                return max(self.lr * schedule.rate**power, min(schedule.minimum, self.lr))
            case Cosine():
                done = min(step / self.horizon, 1.0)
                return schedule.minimum + (self.lr - schedule.minimum) * 0.5 * (1.0 + math.cos(math.pi * done))
            case Steps():
                passed = [f for b, f in zip(schedule.boundaries, schedule.factors, strict=True) if step >= b]
                return self.lr * (passed[-1] if passed else 1.0)
            case Plateau():
                return max(self.lr * schedule.factor**self.reductions, min(schedule.minimum, self.lr))

    def evaluated(self, *, improved: bool) -> None:
        """Tell a plateau schedule whether the evaluation was the best so far; the others do not care."""
        if not isinstance(self.schedule, Plateau):
            return
        self.waited = 0 if improved else self.waited + 1
        if self.waited >= self.schedule.patience:
            self.reductions += 1
            self.waited = 0

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs, plain data."""
        return {"reductions": self.reductions, "waited": self.waited}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.reductions, self.waited = int(state["reductions"]), int(state["waited"])
