"""`History`: what a run has measured on its way."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easyrec.config.watched import Watched
from easyrec.train.run_folder import METRICS

FLAT, EVEN, LEAST = 0.03, 0.6, 0.001
"""Of a run that crawls: part of its first value that the loss loses at most, part of the mean gain that the last evaluation
gains at least, and part of the metric's size that all gain at least."""


@dataclass(frozen=True)
class History:
    """The evaluations of a run.

    Attributes:
        path: Folder of the run.
        metric: The metric that training watched.
        values: It at each evaluation, with the sign that makes higher better.
        losses: The mean loss of the rows learned before each.
        epochs: Epochs done at each.
    """

    path: Path
    metric: str
    values: tuple[float, ...]
    losses: tuple[float, ...]
    epochs: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def best(self) -> int:
        """The evaluation with the best value, the first of equal ones."""
        return max(range(len(self.values)), key=self.values.__getitem__)

    @property
    def steps(self) -> list[float]:
        """What each evaluation has above the one before."""
        return [b - a for a, b in zip(self.values, self.values[1:], strict=False)]

    @property
    def crawling(self) -> bool:
        """Whether the metric rises as fast at the end as at the beginning, and the loss hardly falls."""
        if len(self) < 3 or self.best != len(self) - 1 or min(self.steps) <= 0:
            return False
        even = self.steps[-1] >= EVEN * self.gain / len(self.steps)
        return even and self.gain > LEAST * abs(self.values[-1]) and self.losses[-1] > (1 - FLAT) * self.losses[0]

    @property
    def gain(self) -> float:
        """From the first evaluation to the best."""
        return self.values[self.best] - self.values[0]


def read_history(path: Path, watched: Watched | None) -> History | None:
    """What the run in a folder has measured; None where that is nothing, or training watched no metric."""
    file = path / METRICS
    if watched is None or not file.is_file():
        return None
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    told = [one for one in lines if _number(one["valid"].get(watched.key)) and _number(one["train"].get("loss"))]
    if not told:
        return None
    return history_of(path, watched, told)


def history_of(path: Path, watched: Watched, records: Sequence[Mapping[str, Any]]) -> History:
    """A history of the lines of `metrics.jsonl`."""
    sign = 1.0 if watched.higher_is_better else -1.0
    return History(
        path,
        watched.key,
        tuple(sign * one["valid"][watched.key] for one in records),
        tuple(one["train"]["loss"] for one in records),
        tuple(one["epoch"] for one in records),
    )


def _number(value: Any) -> bool:
    return isinstance(value, int | float)
