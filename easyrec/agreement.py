"""How far several who judge the same things agree, beyond what chance would make them: kappa and alpha, with intervals.

Each measure is a formula of sums over things, so that resamples of the things are weights in these sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np

from easyrec.intervals import Interval

DRAWN = 1 << 24
"""Weights that are drawn at a time."""
Scale = Literal["nominal", "ordinal", "interval"]


def cohen(
    first: np.ndarray,
    second: np.ndarray,
    *,
    weights: Literal["none", "linear", "quadratic"] = "none",
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Cohen's kappa of two who judged the same things: ``1 - sum(w * seen) / sum(w * expected)``.

    Args:
        first: (n,) grades; NaN: none.
        second: (n,) those of the other one.
        weights: How much a disagreement counts: all the same, or by the distance of the grades or its square.
        level: How often such intervals hold the true value.
        resamples: How many samples of the things are drawn.
        seed: Where chance starts.

    Source:
        Cohen, "A coefficient of agreement for nominal scales", 1960; with weights: 1968.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    both = ~(np.isnan(a) | np.isnan(b))
    a, b = a[both], b[both]
    grades = np.unique([a, b])
    k = len(grades)
    apart = np.abs(grades[:, None] - grades[None, :])
    weight = {"none": (apart > 0).astype(np.float64), "linear": apart, "quadratic": apart * apart}[weights]
    cells = np.searchsorted(grades, a) * k + np.searchsorted(grades, b)

    def kappa(counts: np.ndarray) -> np.ndarray:
        table = counts.reshape(-1, k, k)
        expected = table.sum(2)[:, :, None] * table.sum(1)[:, None, :] / table.sum((1, 2))[:, None, None]
        return 1.0 - _over((table * weight).sum((1, 2)), (expected * weight).sum((1, 2)))

    return _resampled(np.eye(k * k)[cells], kappa, level, resamples, seed)


def fleiss(votes: np.ndarray, *, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Interval:
    """Fleiss' kappa of several votes on each thing; things that lack a vote are left out.

    Args:
        votes: (n, m) grades, whose order does not matter; NaN: none.
        level: As of `cohen`, like the rest.
        resamples: Likewise.
        seed: Likewise.

    Source:
        Fleiss, "Measuring nominal scale agreement among many raters", 1971.
    """
    given = np.asarray(votes, np.float64)
    given = given[~np.isnan(given).any(axis=1)]
    m = given.shape[1]
    counts = np.stack([(given == grade).sum(1) for grade in np.unique(given)], 1) if given.size else np.zeros((0, 1))
    alike = (counts * (counts - 1)).sum(1) / (m * (m - 1)) if m > 1 else np.full(len(given), math.nan)
    parts = np.column_stack([alike, np.ones(len(given)), counts])

    def kappa(sums: np.ndarray) -> np.ndarray:
        seen = _over(sums[:, 0], sums[:, 1])
        chance = ((sums[:, 2:] / (sums[:, 1:2] * m)) ** 2).sum(1)
        return 1.0 - _over(1.0 - seen, 1.0 - chance)

    return _resampled(parts, kappa, level, resamples, seed)


def krippendorff(
    ratings: np.ndarray, scale: Scale = "ordinal", *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Krippendorff's alpha of any number who judge, each whatever part of the things: ``1 - seen / expected disagreement``.

    Things that fewer than two have judged tell nothing and are left out.

    Args:
        ratings: (n, m) grades by thing and judge; NaN: none.
        scale: What the distance of two grades is: any (`nominal`), by how many ranks lie between them (`ordinal`), or their
            difference (`interval`).
        level: As of `cohen`, like the rest.
        resamples: Likewise.
        seed: Likewise.

    Source:
        Krippendorff, "Computing Krippendorff's alpha-reliability", 2011.
    """
    given = np.asarray(ratings, np.float64)
    given = given[(~np.isnan(given)).sum(axis=1) > 1]
    grades = np.unique(given[~np.isnan(given)])
    k = len(grades)
    counts = np.stack([(given == grade).sum(1) for grade in grades], 1).astype(np.float64) if k else np.zeros((0, 0))
    told = counts.sum(1, keepdims=True)
    pairs = (counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(k)) / np.maximum(told - 1.0, 1.0)[
        :, :, None
    ]

    def alpha(sums: np.ndarray) -> np.ndarray:
        seen = sums.reshape(-1, k, k)
        mass = seen.sum(2)  # (B, k): how often each grade was given
        if scale == "ordinal":
            below = np.cumsum(mass, 1) - mass / 2.0
            apart = (below[:, :, None] - below[:, None, :]) ** 2
        elif scale == "interval":
            apart = np.broadcast_to((grades[:, None] - grades[None, :]) ** 2, seen.shape)
        else:
            apart = np.broadcast_to(1.0 - np.eye(k), seen.shape)
        expected = (mass[:, :, None] * mass[:, None, :] * apart).sum((1, 2))
        return 1.0 - _over((mass.sum(1) - 1.0) * (seen * apart).sum((1, 2)), expected)

    return _resampled(pairs.reshape(len(given), k * k), alpha, level, resamples, seed)


def correlation(
    first: np.ndarray,
    second: np.ndarray,
    *,
    ranks: bool = False,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Pearson's correlation, or Spearman's, where `ranks` of all things stand for their values.

    Args:
        first: (n,) values; NaN: none.
        second: (n,) values.
        ranks: Whether ranks are compared.
        level: As of `cohen`, like the rest.
        resamples: Likewise.
        seed: Likewise.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    both = ~(np.isnan(a) | np.isnan(b))
    a, b = a[both], b[both]
    if ranks:
        a, b = ranked(a), ranked(b)
    a, b = (x - x.mean() if len(x) else x for x in (a, b))
    parts = np.column_stack([np.ones(len(a)), a, b, a * a, b * b, a * b])

    def pearson(sums: np.ndarray) -> np.ndarray:
        n, sa, sb, saa, sbb, sab = sums.T
        spread = np.maximum(saa - sa * sa / n, 0.0) * np.maximum(sbb - sb * sb / n, 0.0)
        return _over(sab - sa * sb / n, np.sqrt(spread))

    return _resampled(parts, pearson, level, resamples, seed)


def ranked(values: np.ndarray) -> np.ndarray:
    """(n,) ranks from 0; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts + 1) / 2.0)[place], np.float64)


def _over(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """A quotient; NaN where there is nothing below."""
    found: np.ndarray = np.divide(above, below, out=np.full(above.shape, math.nan), where=below > 1e-12)
    return found


def _resampled(
    parts: np.ndarray, formula: Callable[[np.ndarray], np.ndarray], level: float, resamples: int, seed: int
) -> Interval:
    """A formula of the sums of `parts` (n, w), with the percentile bootstrap over things."""
    n = len(parts)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    value = float(formula(parts.sum(0, keepdims=True))[0])
    # equal things are drawn together: there are few kinds of them
    kinds, counts = np.unique(parts, axis=0, return_counts=True)
    random, found = np.random.default_rng(seed), []
    step = max(1, DRAWN // len(kinds))
    for start in range(0, resamples, step):
        drawn = random.multinomial(n, counts / n, min(step, resamples - start))
        found.append(formula(drawn @ kinds))
    told = np.concatenate(found) if found else np.zeros(0)
    told = told[~np.isnan(told)]
    if math.isnan(value) or not len(told):
        return Interval(value, math.nan, math.nan, n)
    low, high = np.quantile(told, [0.5 - level / 2, 0.5 + level / 2])
    return Interval(value, float(low), float(high), n)
