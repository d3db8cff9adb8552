"""What a distillation leaves to its caller."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from easyrec.train.run import Run

TEACHER, STUDENT, LABELS = "teacher", "student", "labels alone"


@dataclass(frozen=True)
class Contestant:
    """The teachers together, the student, or the same student on labels alone.

    Attributes:
        name: `teacher`, `student` or `labels alone`.
        metrics: By part, of each seed.
        parameters: Weights of the model; None where a column teaches.
        latency_ms: Median time of a request; None where there is no bundle.
    """

    name: str
    metrics: Mapping[str, Sequence[Mapping[str, float]]] = field(default_factory=dict)
    parameters: int | None = None
    latency_ms: float | None = None

    def values(self, part: str, metric: str) -> list[float]:
        """A metric of each seed that has it."""
        return [values[metric] for values in self.metrics.get(part, ()) if values.get(metric) is not None]

    def mean(self, part: str, metric: str) -> float | None:
        """The mean over seeds; None where there is none."""
        found = self.values(part, metric)
        return statistics.fmean(found) if found else None


@dataclass(frozen=True)
class Distilled:
    """A distillation.

    Attributes:
        path: Its folder.
        report: `report.html`.
        student: The run of the student, of the first seed.
        contestants: Teacher, student, and student on labels alone, as far as there are any.
        metric: What training watches.
        config: The student's config, which `easyrec train` takes.
    """

    path: Path
    report: Path
    student: Run
    contestants: Sequence[Contestant]
    metric: str
    config: Path

    def named(self, name: str) -> Contestant | None:
        """A contestant; None where there is none of the name."""
        return next((one for one in self.contestants if one.name == name), None)

    @property
    def gain(self) -> dict[str, float]:
        """By part, by how much the student's metric is above that of the same on labels alone; means over seeds."""
        student, labels = self.named(STUDENT), self.named(LABELS)
        return {} if student is None or labels is None else gains(student, labels, self.metric)


def gains(student: Contestant, labels: Contestant, metric: str) -> dict[str, float]:
    """By part, the difference of the means of a metric."""
    pairs = {part: (student.mean(part, metric), labels.mean(part, metric)) for part in student.metrics}
    return {part: a - b for part, (a, b) in pairs.items() if a is not None and b is not None}


def told(contestants: Sequence[Contestant], parts: Sequence[str]) -> list[dict[str, Any]]:
    """The contestants as plain JSON."""
    return [
        {
            "name": one.name,
            "parameters": one.parameters,
            "latency_ms": one.latency_ms,
            "seeds": max((len(values) for values in one.metrics.values()), default=0),
            "metrics": {part: list(one.metrics[part]) for part in parts if part in one.metrics},
        }
        for one in contestants
    ]
