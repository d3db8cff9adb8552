"""Maps from the judges' grades to those of people, fitted on one half and looked at on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from easyrec.intervals import Difference, difference

FEWEST = 10
"""Labels on each side, at least."""


@dataclass(frozen=True)
class Map:
    """A function that is linear between knots and constant beyond them; a line has two.

    Attributes:
        knots: Grades of the judges, ascending.
        values: What people would say.
    """

    knots: list[float]
    values: list[float]

    def __call__(self, grades: np.ndarray) -> np.ndarray:
        """The mapped grades."""
        return np.asarray(np.interp(grades, self.knots, self.values))


@dataclass(frozen=True)
class Calibrated:
    """What a map does for things that it was not fitted on.

    Attributes:
        map: It.
        fitted: How many labels it was fitted on.
        before: Mean absolute error, root of the mean squared one and bias of the grades as they are.
        after: The same of the mapped ones.
        change: Of the absolute error, mapped minus as it is: below 0 the map helps.
    """

    map: Map
    fitted: int
    before: tuple[float, float, float]
    after: tuple[float, float, float]
    change: Difference


def fit_map(
    judged: np.ndarray, people: np.ndarray, kind: Literal["isotonic", "linear"], span: tuple[float, float]
) -> Map:
    """The map with the least squared error.

    Args:
        judged: (n,) grades of the judges.
        people: (n,) those of people.
        kind: An ascending one, or a line.
        span: The lowest and the highest grade that there is.
    """
    x, place, counts = np.unique(judged, return_inverse=True, return_counts=True)
    means = np.bincount(place, people) / counts
    if kind == "isotonic" or len(x) < 2:
        values = ascending(means, counts.astype(np.float64))
        return Map(x.tolist(), values.tolist())
    slope, shift = np.polyfit(judged, people, 1)
    # a line that leaves the scale ends where it leaves it
    ends = [span[0], span[1], *((end - shift) / slope for end in span if abs(slope) > 1e-12)]
    knots = np.unique([end for end in ends if span[0] <= end <= span[1]])
    return Map(knots.tolist(), np.clip(slope * knots + shift, *span).tolist())


def ascending(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The ascending values nearest to these, by pooling those that descend.

    Source:
        Ayer et al., "An empirical distribution function for sampling with incomplete information", 1955.
    """
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        mean, mass, count = float(value), float(weight), 1
        while pools and pools[-1][0] >= mean:
            before, held, size = pools.pop()
            mean, mass, count = (before * held + mean * mass) / (held + mass), held + mass, size + count
        pools.append((mean, mass, count))
    return np.repeat([pool[0] for pool in pools], [pool[2] for pool in pools])


def calibrate(
    ids: Sequence[str],
    judged: np.ndarray,
    people: np.ndarray,
    kind: Literal["isotonic", "linear"],
    span: tuple[float, float],
    *,
    level: float = 0.95,
    seed: int = 0,
) -> Calibrated | None:
    """Fit a map on half of the ids, and look at it on the others; None where there are too few labels.

    Args:
        ids: What each label belongs to: answers to the same are on one side.
        judged: (n,) grades of the judges.
        people: (n,) those of people.
        kind: As of `fit_map`.
        span: Likewise.
        level: Of the interval of the change.
        seed: Which half it is.
    """
    names = sorted(set(ids))
    drawn = np.random.default_rng(seed).permutation(len(names))[: len(names) // 2]
    chosen = {names[at] for at in drawn}
    first = np.array([one in chosen for one in ids], bool)
    if min(first.sum(), (~first).sum()) < FEWEST:
        return None
    found = fit_map(judged[first], people[first], kind, span)
    x, y = judged[~first], people[~first]
    mapped = found(x)
    change = difference(np.abs(x - y).tolist(), np.abs(mapped - y).tolist(), level, seed=seed)
    return Calibrated(found, int(first.sum()), _errors(x, y), _errors(mapped, y), change)


def _errors(found: np.ndarray, wanted: np.ndarray) -> tuple[float, float, float]:
    apart = found - wanted
    return float(np.abs(apart).mean()), float(np.sqrt((apart * apart).mean())), float(apart.mean())
