"""A mean that people have found for some things and a machine for all: the machine's values help, and cannot mislead."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from easyrec.intervals import Interval


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


def powered_mean(labels: np.ndarray, labelled: np.ndarray, others: np.ndarray, level: float = 0.95) -> Powered:
    """``mean(labels) + w * (mean(machine of all others) - mean(machine of the labelled))``, with the best `w` in 0 .. 1.

    It is right where the labelled things were drawn by chance from all, whatever the machine says; the better the machine
    follows people, the narrower the interval.

    Args:
        labels: (n,) what people have found.
        labelled: (n,) the machine's values of the same things.
        others: (m,) the machine's values of all other things.
        level: How often such intervals hold the true mean.

    Source:
        Angelopoulos et al., "Prediction-powered inference", Science 2023; the weight: Angelopoulos, Duchi and Zrnic, "PPI++",
        2023, example 6.1.
    """
    y, f, g = (np.asarray(values, np.float64) for values in (labels, labelled, others))
    if y.shape != f.shape:
        raise ValueError(f"{len(y)} labels and {len(f)} values are no pairs")
    n, m, z = len(y), len(g), NormalDist().inv_cdf(0.5 + level / 2)
    every = np.concatenate([f, g])
    if n < 2:
        nothing = Interval(float(y.mean()) if n else math.nan, math.nan, math.nan, n)
        return Powered(nothing, nothing, float(every.mean()) if len(every) else math.nan, 0.0, math.nan)
    own = float(y.var(ddof=1))
    alone = _around(float(y.mean()), own / n, z, n)
    spread = float(every.var(ddof=1)) if m else 0.0
    weight = 0.0
    if m and spread > 0.0:
        together = float(np.cov(y, f)[0, 1])
        weight = min(max(together / ((1.0 + n / m) * spread), 0.0), 1.0)
    if weight == 0.0:
        return Powered(alone, alone, float(every.mean()), 0.0, 1.0)
    mean = float(y.mean() + weight * (g.mean() - f.mean()))
    doubt = float((y - weight * f).var(ddof=1)) / n + weight * weight * (float(g.var(ddof=1)) if m > 1 else 0.0) / m
    saved = own / n / doubt if doubt > 0.0 else math.inf
    return Powered(_around(mean, doubt, z, n), alone, float(every.mean()), weight, saved)


def _around(mean: float, doubt: float, z: float, count: int) -> Interval:
    half = z * math.sqrt(doubt)
    return Interval(mean, mean - half, mean + half, count)
