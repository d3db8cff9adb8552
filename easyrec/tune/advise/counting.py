"""What the values of a sample tell of all: how many there are, and how many come again."""

from __future__ import annotations

import numpy as np


def likely_distinct(counts: np.ndarray) -> float:
    """Different values behind a sample, at least.

    ``D + f_1 (f_1 - 1) / (2 (f_2 + 1))`` for D values in the sample, f_1 of them seen once and f_2 twice.

    Args:
        counts: (D,) how often each was seen.

    Source:
        Chao, "Nonparametric Estimation of the Number of Classes in a Population", 1984; the bias-corrected form.
    """
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    return len(counts) + once * (once - 1) / (2 * (twice + 1))


def least_spread(counts: np.ndarray) -> float:
    """So many values at least there would be, were all equally frequent; a bound that holds in 95 of 100 samples.

    A sample of n rows has ``n (n - 1) / 2 * sum p_i^2`` pairs of equal values, and ``1 / sum p_i^2`` is the number of
    values where all are equally frequent. Of k pairs seen no more than about ``k + 2 sqrt(k) + 3`` were to be expected.
    """
    total = int(counts.sum())
    pairs = float((counts.astype(np.float64) * (counts - 1)).sum() / 2)
    most = pairs + 2 * np.sqrt(pairs) + 3
    return float(total * (total - 1) / 2 / most)


def shared_buckets(distinct: float, buckets: int) -> float:
    """Share of values that a hash puts into a bucket with others: ``1 - (1 - 1/B)^(D - 1)``."""
    return 0.0 if distinct <= 1 else float(-np.expm1((distinct - 1) * np.log1p(-1.0 / max(buckets, 2))))


def round_up(number: float) -> int:
    """The next number of one digit and zeros: 1, 2 or 5 times a power of ten."""
    power = 10 ** int(np.floor(np.log10(max(number, 1.0))))
    return int(next(step * power for step in (1, 2, 5, 10) if step * power >= number))
