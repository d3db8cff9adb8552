"""A mean that people have found for some things and a machine for all: the machine's values help, and cannot mislead."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from easyrec.intervals import Interval, interval, student

FEWEST = 10
"""Of fewer labels no weight of the machine can be learned: they stand alone."""


@dataclass(frozen=True)
class Powered:
    """A mean and its interval.

    Attributes:
        mean: The estimate; `count` is how many people have labelled.
        alone: What the labels alone say.
        machine: What the machine's values alone say, of all things.
        weight: How much of the machine's values is used: 0 where they tell nothing.
        saved: How many times as many labels would make `alone` as sure.
    """

    mean: Interval
    alone: Interval
    machine: float
    weight: float
    saved: float


def powered_mean(
    labels: np.ndarray,
    labelled: np.ndarray,
    others: np.ndarray,
    level: float = 0.95,
    span: tuple[float, float] = (-math.inf, math.inf),
) -> Powered:
    """``mean(labels) + w * (mean(machine of all others) - mean(machine of the labelled))``, with the best `w` in 0 .. 1.

    It is right where the labelled things were drawn by chance from all, whatever the machine says; the better the machine
    follows people, the narrower the interval. Of few labels Student's t makes it wider.

    Args:
        labels: (n,) what people have found.
        labelled: (n,) the machine's values of the same things.
        others: (m,) the machine's values of all other things.
        level: How often such intervals hold the true mean.
        span: The least and the largest label that there can be: what doubt there is where all labels are alike.

    Source:
        Angelopoulos et al., "Prediction-powered inference", Science 2023; the weight: Angelopoulos, Duchi and Zrnic, "PPI++",
        2023, example 6.1.
    """
    y, f, g = (np.asarray(values, np.float64) for values in (labels, labelled, others))
    if y.shape != f.shape:
        raise ValueError(f"{len(y)} labels and {len(f)} values are no pairs")
    n, m = len(y), len(g)
    every = np.concatenate([f, g])
    if n < 2:
        nothing = Interval(float(y.mean()) if n else math.nan, math.nan, math.nan, n)
        return Powered(nothing, nothing, float(every.mean()) if len(every) else math.nan, 0.0, math.nan)
    own = float(y.var(ddof=1))
    if own == 0.0:
        alike = interval(y.tolist(), level, span=span)
        return Powered(alike, alike, float(every.mean()), 0.0, 1.0)
    alone = _around(float(y.mean()), own / n, student(level, n - 1), n)
    spread = float(every.var(ddof=1)) if m else 0.0
    weight = 0.0
    if m and n >= FEWEST and spread > 0.0:
        together = float(np.cov(y, f)[0, 1])
        weight = min(max(together / ((1.0 + n / m) * spread), 0.0), 1.0)
    if weight == 0.0:
        return Powered(alone, alone, float(every.mean()), 0.0, 1.0)
    mean = float(y.mean() + weight * (g.mean() - f.mean()))
    rest = float(
        (y - weight * f).var(ddof=2)
    )  # the weight, learned of the same labels, has taken a degree of freedom too
    doubt = rest / n + weight * weight * (float(g.var(ddof=1)) if m > 1 else 0.0) / m
    saved = own / n / doubt if doubt > 0.0 else math.inf
    return Powered(_around(mean, doubt, student(level, n - 2), n), alone, float(every.mean()), weight, saved)


def _around(mean: float, doubt: float, reach: float, count: int) -> Interval:
    half = reach * math.sqrt(doubt)
    return Interval(mean, mean - half, mean + half, count)
