"""What a search leaves to its caller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easyrec.tune.row import Row


@dataclass(frozen=True)
class Tuned:
    """A search, as far as it has come.

    Attributes:
        path: Folder of the study.
        config: `best.yaml`, which `easyrec train` takes.
        report: `report.html`.
        objectives: Names of the objectives, the most important first.
        rows: The trials in order.
        higher_is_better: The direction of the first objective.
        best: The best trial; of several objectives those that no other beats in all of them. Empty where none has ended.
    """

    path: Path
    config: Path
    report: Path
    objectives: tuple[str, ...]
    rows: Sequence[Row]
    best: Sequence[Row]
    higher_is_better: bool = True

    def ranked(self) -> list[Row]:
        """The trials that gave a result, the best first: of several objectives first those that no other beats."""
        front = {row.number for row in self.best}
        sign = -1.0 if self.higher_is_better else 1.0
        ended = [row for row in self.rows if row.state == "complete"]
        return sorted(ended, key=lambda row: (row.number not in front, sign * row.outcome[self.objectives[0]]))

    @property
    def values(self) -> dict[str, Any]:
        """The best point, by the names of its spaces; empty where no trial has ended."""
        return dict(self.best[0].values) if self.best else {}

    @property
    def outcome(self) -> dict[str, float]:
        """What the best trial gave: objectives and metrics on `valid`."""
        return dict(self.best[0].outcome) if self.best else {}
