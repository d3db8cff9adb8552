"""How sure a mean is: bootstrap intervals, and whether two systems differ on the same questions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import TypeVar

import numpy as np

DRAWN = 1 << 22
"""Values that are drawn at a time."""
FEW = 64
"""So few different values are drawn by how often they are there."""
EXACT = 12
"""So many questions have few enough signs that all of them are looked at."""
K = TypeVar("K")


@dataclass(frozen=True)
class Interval:
    """A mean, and where the true one lies.

    Attributes:
        mean: Of the values that there are; NaN of none.
        low: Lower end.
        high: Upper end.
        count: How many values there are.
    """

    mean: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Difference:
    """What the second of two systems does beside the first, on the same questions.

    Attributes:
        mean: Of second minus first; NaN of none.
        low: Lower end of its interval.
        high: Upper end.
        p: How often signs alone would make it as large: two-sided, by the randomisation test.
        better: On how many questions the second has more.
        worse: On how many it has less.
        count: Questions that both have a value for.
    """

    mean: float
    low: float
    high: float
    p: float
    better: int
    worse: int
    count: int


def interval(values: Sequence[float], level: float = 0.95, resamples: int = 10_000, seed: int = 0) -> Interval:
    """Percentile bootstrap of a mean.

    Where all values are alike the bootstrap sees no doubt; of shares between 0 and 1 Wilson's interval stands then, which is
    the wider one there.

    Args:
        values: One for each question.
        level: How often such intervals hold the true mean.
        resamples: How many samples are drawn.
        seed: Where chance starts.
    """
    given = np.asarray(values, np.float64)
    if not len(given):
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = float(given.mean())
    if np.ptp(given) == 0.0:
        low, high = wilson(mean, len(given), level) if 0.0 <= mean <= 1.0 else (-math.inf, math.inf)
        return Interval(mean, low, high, len(given))
    low, high = _percentiles(given, level, resamples, seed)
    return Interval(mean, low, high, len(given))


def wilson(share: float, count: int, level: float) -> tuple[float, float]:
    """Wilson's interval of a share of so many.

    Source:
        Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.
    """
    z = NormalDist().inv_cdf(0.5 + level / 2)
    whole = 1.0 + z * z / count
    centre = (share + z * z / (2 * count)) / whole
    half = z / whole * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    # The share lies in it, which at 0 and 1 rounding would not let it.
    return min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half))


def difference(
    first: Sequence[float], second: Sequence[float], level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Difference:
    """Two systems' values of the same questions, in the same order.

    The interval is the bootstrap's over questions, and p the randomisation test's: were both systems alike, each difference
    might as well have the other sign. Of few questions all signs are looked at, of more as many as are drawn.

    Source:
        Smucker et al., "A comparison of statistical significance tests for information retrieval evaluation", CIKM 2007.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.shape != b.shape:
        raise ValueError(f"{len(a)} and {len(b)} values are no pairs")
    own = b - a
    if not len(own):
        return Difference(math.nan, math.nan, math.nan, math.nan, 0, 0, 0)
    mean = float(own.mean())
    low, high = _percentiles(own, level, resamples, seed) if np.ptp(own) else (mean, mean)
    told = int((own > 0).sum()), int((own < 0).sum())
    return Difference(mean, low, high, _by_signs(own, resamples, seed), *told, len(own))


def holm(values: Mapping[K, float]) -> dict[K, float]:
    """Corrected p values, where several are looked at.

    Source:
        Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    known = {key: p for key, p in values.items() if not math.isnan(p)}
    corrected: dict[K, float] = dict.fromkeys(values, math.nan)
    most = 0.0
    for place, (key, p) in enumerate(sorted(known.items(), key=lambda entry: entry[1])):
        most = max(most, min(1.0, (len(known) - place) * p))
        corrected[key] = most
    return corrected


def _percentiles(values: np.ndarray, level: float, resamples: int, seed: int) -> tuple[float, float]:
    """Where the means of resamples lie."""
    return _percentiles_of(values.astype(np.float64).tobytes(), level, resamples, seed)


@lru_cache(maxsize=512)
def _percentiles_of(held: bytes, level: float, resamples: int, seed: int) -> tuple[float, float]:
    """The same, once: of the values that a report asks for, many are asked for again."""
    values, random = np.frombuffer(held, np.float64), np.random.default_rng(seed)
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= FEW:  # how often each value is drawn says all
        means = random.multinomial(len(values), counts / len(values), resamples) @ distinct / len(values)
    else:
        step = max(1, DRAWN // len(values))
        sizes = [min(step, resamples - start) for start in range(0, resamples, step)]
        means = np.concatenate(
            [values[random.integers(0, len(values), (size, len(values)))].mean(axis=1) for size in sizes]
        )
    low, high = np.quantile(means, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def _by_signs(own: np.ndarray, draws: int, seed: int) -> float:
    """How often random signs make a sum as far from 0; questions without a difference change nothing."""
    own = own[own != 0.0]
    if not len(own):
        return 1.0
    least = abs(own.sum()) - 1e-9 * np.abs(own).sum()
    if len(own) <= EXACT:
        signs = 1.0 - 2.0 * ((np.arange(1 << len(own))[:, None] >> np.arange(len(own))) & 1)
        return float((np.abs(signs @ own) >= least).mean())
    random = np.random.default_rng(seed)
    step = max(1, DRAWN // len(own))
    as_far = 0
    for start in range(0, draws, step):
        signs = 1.0 - 2.0 * random.integers(0, 2, (min(step, draws - start), len(own)), np.int8)
        as_far += int((np.abs(signs @ own) >= least).sum())
    return (as_far + 1) / (draws + 1)
