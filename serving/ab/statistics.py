"""The statistics of experiments, in closed form: intervals, tests that may be looked at any time, tests of counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

_NORMAL = NormalDist()


def quantile(share: float) -> float:
    """The standard normal value that lies above a share of all."""
    return _NORMAL.inv_cdf(share)


def two_sided(z: float) -> float:
    """The probability that a standard normal value is at least this far from 0."""
    return math.erfc(abs(z) / math.sqrt(2.0))


def mixture_ratio(difference: float, variance: float, scale: float) -> float:
    """Log of the likelihood ratio of a normal mixture of effects against no effect.

    For an estimate ``d`` of variance ``V`` and effects ``~ N(0, s^2)``:
    ``1/2 log(V / (V + s^2)) + d^2 s^2 / (2 V (V + s^2))``.

    Source:
        Johari, Pekelis, Walsh, "Always Valid Inference", 2015, eq. (12).
    """
    if variance <= 0.0 or scale <= 0.0:
        return 0.0
    spread = scale * scale
    return 0.5 * math.log(variance / (variance + spread)) + difference**2 * spread / (
        2 * variance * (variance + spread)
    )


def always_valid_p(difference: float, variance: float, scale: float) -> float:
    """The p-value of one look, of which the smallest of all looks so far is valid at any of them."""
    return math.exp(-max(mixture_ratio(difference, variance, scale), 0.0))


def always_valid_reach(variance: float, scale: float, alpha: float) -> float:
    """How far an interval reaches to both sides that holds the effect at all looks together, but for `alpha`.

    ``sqrt(V (V + s^2) / s^2 * (2 log(1 / alpha) + log((V + s^2) / V)))``: where the mixture's ratio is ``1 / alpha``.
    """
    if variance <= 0.0 or scale <= 0.0:
        return 0.0 if variance <= 0.0 else math.inf
    spread = scale * scale
    room = 2.0 * math.log(1.0 / alpha) + math.log((variance + spread) / variance)
    return math.sqrt(variance * (variance + spread) / spread * room)


def wilson(count: float, total: float, alpha: float) -> tuple[float, float]:
    """The interval of a share by Wilson's score, with `alpha` beyond it on either side.

    Source:
        Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    if total <= 0:
        return 0.0, 1.0
    z = quantile(1.0 - alpha)
    share, room = count / total, z * z / total
    middle = (share + room / 2) / (1 + room)
    reach = z / (1 + room) * math.sqrt(max(share * (1 - share), 0.0) / total + room / (4 * total))
    return max(middle - reach, 0.0), min(middle + reach, 1.0)


def chi_square_tail(value: float, freedom: int) -> float:
    """The probability that a chi-square variable is at least this large: the upper incomplete gamma function.

    Source:
        Abramowitz and Stegun, 6.5.29 (the series) and 6.5.31 (the continued fraction).
    """
    if value <= 0.0:
        return 1.0
    a, x = freedom / 2.0, value / 2.0
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1.0:
        term = total = 1.0 / a
        for n in range(1, 10_000):
            term *= x / (a + n)
            total += term
            if term < total * 1e-16:
                break
        return max(0.0, 1.0 - front * total)
    b, tiny = x + 1.0 - a, 1e-300
    c, d = 1.0 / tiny, 1.0 / b
    product = d
    for n in range(1, 10_000):
        step = -n * (n - a)
        b += 2.0
        d = 1.0 / (step * d + b or tiny)
        c = b + step / c or tiny
        product *= d * c
        if abs(d * c - 1.0) < 1e-15:
            break
    return front * product


def mismatch_p(counts: Sequence[float], shares: Sequence[float]) -> float:
    """The p-value of counts that should be as shares say: Pearson's chi-square test."""
    total, whole = sum(counts), sum(shares)
    if total <= 0 or len(counts) < 2:
        return 1.0
    expected = [total * share / whole for share in shares]
    value = sum((count - owed) ** 2 / owed for count, owed in zip(counts, expected, strict=True))
    return chi_square_tail(value, len(counts) - 1)


def holm(ps: Sequence[float]) -> list[float]:
    """P-values such that any wrong finding among all has the chance that each tells.

    Source:
        Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    order = sorted(range(len(ps)), key=ps.__getitem__)
    result, largest = [1.0] * len(ps), 0.0
    for rank, at in enumerate(order):
        largest = max(largest, min(1.0, ps[at] * (len(ps) - rank)))
        result[at] = largest
    return result


def benjamini_hochberg(ps: Sequence[float]) -> list[float]:
    """P-values such that wrong findings are at most that share of all findings, on average.

    Source:
        Benjamini and Hochberg, "Controlling the false discovery rate", 1995.
    """
    order = sorted(range(len(ps)), key=ps.__getitem__, reverse=True)
    result, smallest = [1.0] * len(ps), 1.0
    for rank, at in enumerate(order):
        smallest = min(smallest, ps[at] * len(ps) / (len(ps) - rank))
        result[at] = smallest
    return result


def detectable(variance: float, alpha: float, power: float) -> float:
    """The effect that a two-sided test of an estimate of this variance finds with this power."""
    return (quantile(1.0 - alpha / 2) + quantile(power)) * math.sqrt(max(variance, 0.0))
