"""Two systems on the same questions: by how much one is better, how sure that is, and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from easyrec.intervals import Difference, difference, holm


@dataclass(frozen=True)
class Compared:
    """A metric of two systems.

    Attributes:
        name: What it is called.
        first: Mean of the first one, over the questions that both have a value for.
        second: Mean of the second one.
        difference: Of second minus first.
        corrected: Its p, corrected for all metrics that are looked at.
        questions: By question the second's value minus the first's.
    """

    name: str
    first: float
    second: float
    difference: Difference
    corrected: float
    questions: Mapping[str, float]

    def worst(self, most: int) -> list[tuple[str, float]]:
        """The questions that lose most."""
        lost = [(key, gain) for key, gain in self.questions.items() if gain < 0]
        return sorted(lost, key=lambda entry: (entry[1], entry[0]))[:most]

    def best(self, most: int) -> list[tuple[str, float]]:
        """The questions that gain most."""
        won = [(key, gain) for key, gain in self.questions.items() if gain > 0]
        return sorted(won, key=lambda entry: (-entry[1], entry[0]))[:most]

    def as_json(self) -> dict[str, Any]:
        """All of it; what is no number is null."""
        own = self.difference
        told = {"first": self.first, "second": self.second, "difference": own.mean, "low": own.low, "high": own.high}
        told |= {"p": own.p, "p_corrected": self.corrected}
        plain = {key: None if value != value else value for key, value in told.items()}  # noqa: PLR0124 (NaN)
        counts = {"count": own.count, "better": own.better, "worse": own.worse}
        return {"name": self.name, **plain, **counts, "questions": dict(self.questions)}


def compare(
    first: Mapping[str, Mapping[str, float]],
    second: Mapping[str, Mapping[str, float]],
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> list[Compared]:
    """What the second does beside the first.

    Args:
        first: By metric and question its values.
        second: Likewise.
        level: Of the intervals.
        resamples: Of the intervals and tests.
        seed: Where chance starts.
    """
    found: dict[str, tuple[float, float, Difference, dict[str, float]]] = {}
    for name, ours in second.items():
        both = [key for key in ours if key in first.get(name, {})]
        if not both:
            continue
        pairs = [first[name][key] for key in both], [ours[key] for key in both]
        means = sum(pairs[0]) / len(both), sum(pairs[1]) / len(both)
        own = {key: b - a for key, a, b in zip(both, *pairs, strict=True)}
        found[name] = (*means, difference(*pairs, level, resamples, seed), own)
    corrected = holm({name: entry[2].p for name, entry in found.items()})
    return [Compared(name, a, b, own, corrected[name], by) for name, (a, b, own, by) in found.items()]
