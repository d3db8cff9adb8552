"""Numbers with their intervals, as reports have them: `{value, low, high, count}`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from easyrec.agreement import Scale, cohen, correlation, fleiss, krippendorff
from easyrec.intervals import Difference, Interval, difference, interval, wilson

FEW = 20
"""Of fewer things no correlation is told."""
Told = dict[str, Any]


@dataclass(frozen=True)
class Measures:
    """All of them at one level.

    Attributes:
        level: How often intervals hold the true value.
        seed: Where chance starts.
    """

    level: float
    seed: int

    def mean(self, values: np.ndarray) -> Told:
        """Of what is there."""
        return told(interval(values[~np.isnan(values)].tolist(), self.level, seed=self.seed))

    def share_of(self, hits: np.ndarray) -> Told:
        """Of things that are so, by Wilson."""
        return self.share(int(hits.sum()), len(hits))

    def share(self, hits: int, count: int) -> Told:
        """Of so many, by Wilson."""
        if not count:
            return told(Interval(np.nan, np.nan, np.nan, 0))
        return told(Interval(hits / count, *wilson(hits / count, count, self.level), count))

    def difference(self, first: np.ndarray, second: np.ndarray) -> Difference:
        """Of pairs that both have a value."""
        there = ~np.isnan(first + second)
        return difference(first[there].tolist(), second[there].tolist(), self.level, seed=self.seed)

    def kappa(
        self, first: np.ndarray, second: np.ndarray, weights: Literal["none", "linear", "quadratic"] = "none"
    ) -> Told:
        """Cohen's."""
        return told(cohen(first, second, weights=weights, level=self.level, seed=self.seed))

    def fleiss(self, votes: np.ndarray) -> Told:
        """Fleiss' kappa of (n, votes)."""
        return told(fleiss(votes, level=self.level, seed=self.seed))

    def alpha(self, ratings: np.ndarray, scale: Scale = "ordinal") -> Told:
        """Krippendorff's, of (n, who)."""
        return told(krippendorff(ratings, scale, level=self.level, seed=self.seed))

    def correlation(self, first: np.ndarray, second: np.ndarray, *, ranks: bool = False) -> Told:
        """Pearson's or Spearman's; of few things none."""
        found = correlation(first, second, ranks=ranks, level=self.level, seed=self.seed)
        return told(found if found.count >= FEW else Interval(np.nan, np.nan, np.nan, found.count))


def told(found: Interval) -> Told:
    """An interval as reports have it."""
    return {"value": found.mean, "low": found.low, "high": found.high, "count": found.count}


def nearest_grade(values: np.ndarray, scale: Sequence[int]) -> np.ndarray:
    """The nearest grades; of two the lower one. NaN stays."""
    grades = np.array(scale, np.float64)
    found = grades[np.abs(np.nan_to_num(values)[:, None] - grades[None, :]).argmin(1)]
    return np.where(np.isnan(values), np.nan, found)
