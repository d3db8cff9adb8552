"""An estimate with its interval, and whether to believe it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from easyrec.off_policy.weights import Floats, Logged, Weights

Interval = Literal["skewed", "normal", "bootstrap"]
LEAST_EFFECTIVE = 100.0
"""Effective lists below which an interval is not to be trusted."""
MOST_OF_ONE = 0.05
"""Share of all weight that a single list may have."""
OFF = 4.0
"""Standard errors by which a mean weight may miss 1."""
BLOCK = 4_000_000
"""Draws of the bootstrap that are in memory at once."""


@dataclass(frozen=True)
class Estimate:
    """Mean reward of a list under the policy that is asked about.

    Attributes:
        estimator: ips, snips or dr.
        scheme: How lists are weighed.
        value: The estimate.
        std_error: Its standard error.
        low: Lower end of the interval.
        high: Upper end.
        level: Of the interval.
        logged: Mean reward of the lists as they were shown.
        rows: Lists.
        effective_rows: So many lists of the policy itself would tell as much: ``(sum w)^2 / sum w^2``, of the position
            where it is least.
        mean_weight: 1 but for chance, if the log shows now and then all that the policy would.
        max_weight: The greatest.
        clipped: Share of weights that were cut.
        warnings: Why not to believe it.
    """

    estimator: str
    scheme: str
    value: float
    std_error: float
    low: float
    high: float
    level: float
    logged: float
    rows: int
    effective_rows: float
    mean_weight: float
    max_weight: float
    clipped: float
    warnings: tuple[str, ...]

    def row(self) -> dict[str, Any]:
        """As plain data."""
        return {**vars(self), "warnings": list(self.warnings)}


def estimated(
    name: str,
    scheme: str,
    logged: Logged,
    weights: Weights,
    value: float,
    influence: Floats,
    *,
    level: float,
    interval: Interval,
    seed: int,
    resample: int,
) -> Estimate:
    """The estimate of a value that is a mean of one number a list, at least nearly.

    Args:
        name: Of the estimator.
        scheme: Of the weights.
        logged: The log.
        weights: Its weights.
        value: The estimate.
        influence: (n,) what each list adds: their mean is 0, and their variance over n that of the estimate.
        level: Of the interval.
        interval: How it is made.
        seed: Of the bootstrap.
        resample: Its samples.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, not {level}")
    parts = _by_group(influence, logged.groups)
    number = len(parts)
    # With lists of one group in one sum, the mean over n lists is the sum of the groups over n.
    spread = float(np.sqrt(number * parts.var(ddof=1))) / len(influence) if number > 1 else float("inf")
    if interval == "bootstrap" and number > 1:
        low, high = _bootstrap(parts, len(influence), level, seed, resample)
        low, high = value + low, value + high
    elif interval in ("skewed", "normal", "bootstrap"):
        skewness = _skewness(parts) / np.sqrt(number) if interval == "skewed" else 0.0
        upper = NormalDist().inv_cdf(0.5 + level / 2)
        low, high = value - spread * _quantile(upper, skewness), value - spread * _quantile(-upper, skewness)
    else:
        raise ValueError(f"interval must be skewed, normal or bootstrap, not {interval!r}")
    effective, mean, told = diagnose(logged, weights)
    return Estimate(
        estimator=name,
        scheme=scheme,
        value=value,
        std_error=spread,
        low=low,
        high=high,
        level=level,
        logged=float(np.where(logged.filled, logged.reward, 0.0).sum(axis=1).mean()),
        rows=len(logged),
        effective_rows=effective,
        mean_weight=mean,
        max_weight=float(weights.values.max()),
        clipped=weights.clipped,
        warnings=told,
    )


def diagnose(logged: Logged, weights: Weights) -> tuple[float, float, tuple[str, ...]]:
    """Effective lists, mean weight, and what is doubtful.

    The position is told of which the log knows least.
    """
    values, there = weights.values, logged.filled
    number = there.sum(axis=0)
    total, square = values.sum(axis=0), (values * values).sum(axis=0)
    used = number > 0
    effective = np.where(square > 0, total * total / np.where(square > 0, square, 1.0), 0.0)
    worst = int(np.argmin(np.where(used, effective, np.inf)))
    found = float(effective[worst])
    mean = float(values[there].mean())
    told = []
    if (logged.propensity[there] >= 1.0).all():
        told.append("nothing in the log was random: it tells of no other policy; let the engine explore")
    if found < min(LEAST_EFFECTIVE, 0.5 * number[worst]):
        told.append(f"at position {worst} the log is worth {found:,.1f} lists of this policy: too few to tell")
    heaviest = float((values.max(axis=0) / np.where(total > 0, total, 1.0))[used].max())
    if heaviest > MOST_OF_ONE and len(logged) > 1 / MOST_OF_ONE:
        told.append(f"a single list has {heaviest:.0%} of all weight: clip, or log more")
    if not weights.clipped:
        spread = np.sqrt(np.maximum(square / np.maximum(number, 1) - (total / np.maximum(number, 1)) ** 2, 0.0))
        off = np.abs(total / np.maximum(number, 1) - 1.0) * np.sqrt(np.maximum(number, 1)) / np.maximum(spread, 1e-12)
        wrong = int(np.argmax(np.where(used, off, 0.0)))
        if off[wrong] > OFF:
            missing = total[wrong] / number[wrong]
            told.append(
                f"weights at position {wrong} have a mean of {missing:.3g} where they should have one of 1: the policy shows "
                "what the log never does, or the propensities are wrong"
            )
    elif weights.clipped > 0.01:
        told.append(
            f"{weights.clipped:.1%} of the weights were cut: the estimate leans towards the policy that was logged"
        )
    return found, mean, tuple(told)


def _skewness(parts: Floats) -> float:
    """Third moment over the cube of the standard deviation."""
    off = parts - parts.mean()
    square = float((off * off).mean())
    return float((off**3).mean()) / square**1.5 if square > 0 else 0.0


def _quantile(normal: float, skewness: float) -> float:
    """Quantile of a studentised mean, where that of a normal one is known.

    A few lists have most of the weight and few are clicked, so a mean is skewed where lists are few, and intervals that are
    even on both sides miss on one.

    Args:
        normal: Of the normal distribution.
        skewness: Of the rows, over the root of their number.

    Source:
        Hall, "On the Removal of Skewness by Transformation", JRSS B 1992, eq. (2.4), with a = 1/3 and b = 1/6.
    """
    if abs(skewness) < 1e-6:
        return normal
    return float(3.0 / skewness * (np.cbrt(1.0 + skewness * (normal - skewness / 6.0)) - 1.0))


def _by_group(influence: Floats, groups: npt.NDArray[np.int64] | None) -> Floats:
    if groups is None:
        return influence
    _, index = np.unique(groups, return_inverse=True)
    sums: Floats = np.bincount(index.ravel(), influence).astype(np.float64)
    return sums


def _bootstrap(parts: Floats, rows: int, level: float, seed: int, samples: int) -> tuple[float, float]:
    """Ends of the interval of a mean of 0, by drawing groups again."""
    random = np.random.default_rng(seed)
    step = max(BLOCK // len(parts), 1)
    means = np.concatenate(
        [
            parts[random.integers(0, len(parts), (min(step, samples - low), len(parts)))].sum(axis=1) / rows
            for low in range(0, samples, step)
        ]
    )
    low, high = np.quantile(means, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)
