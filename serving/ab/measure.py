"""Means and ratios of the variants, their differences, and how sure they are; with CUPED."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serving.ab.statistics import quantile, two_sided

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Arm:
    """A variant.

    Attributes:
        units: How many.
        mean: Mean over units, or ratio of two sums.
        variance: Of the mean.
        plain: Variance of the mean without the covariates.
        plain_mean: The mean without them.
    """

    units: int
    mean: float
    variance: float
    plain: float
    plain_mean: float


@dataclass(frozen=True)
class Effect:
    """What a variant does beside the control.

    Attributes:
        difference: Of the means.
        variance: Of the difference.
        low: Where the interval of the difference begins.
        high: Where it ends.
        lift: The difference as a share of the control's mean; NaN where that is 0.
        lift_low: Where the interval of the lift begins.
        lift_high: Where it ends.
        p: The chance of such a difference, to either side, where there is none.
    """

    difference: float
    variance: float
    low: float
    high: float
    lift: float
    lift_low: float
    lift_high: float
    p: float


def measure(
    arms: NDArray[np.int64],
    num_arms: int,
    above: Numbers,
    below: Numbers | None = None,
    covariates: Numbers | None = None,
) -> list[Arm]:
    """The mean of each variant.

    A ratio ``sum(x) / sum(y)`` is taken as the mean of ``(x - r y) / mean(y) + r`` (the delta method), so that units
    stay the unit of variance. What a unit lies beside the mean is divided by ``1 - h``, where ``h`` is its share of
    ``sum(y)``, as the jackknife does: very active units draw the ratio to themselves, and would seem to vary less than
    they do. With covariates ``Z`` from before the experiment each mean becomes
    ``m - theta' (mean(Z) - mean over all variants of Z)``, where ``theta`` is what least squares gives within variants.

    Args:
        arms: (N,), each unit's variant.
        num_arms: How many variants there are.
        above: (N,), what is summed.
        below: (N,), what it is divided by; None for the units.
        covariates: (N, P), known before the experiment.

    Source:
        Deng, Xu, Kohavi, Walker, "Improving the sensitivity of online controlled experiments by utilizing
        pre-experiment data", WSDM 2013; appendix B for ratios.
    """
    count = np.bincount(arms, minlength=num_arms).astype(np.float64)
    sums = np.bincount(arms, above, minlength=num_arms)
    divisor = count if below is None else np.bincount(arms, below, minlength=num_arms)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(divisor > 0, sums / divisor, np.nan)
        each = divisor / count
    rest = above - mean[arms] * (1.0 if below is None else below)
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = rest / each[arms]
        own = (1.0 if below is None else below) / divisor[arms]
    free = 1.0 - np.minimum(np.nan_to_num(own), 1.0 - 1e-9)
    plain = _variances(arms, rest / free, count)
    adjusted, variance = mean, plain
    if covariates is not None and covariates.size:
        totals = np.stack([np.bincount(arms, column, minlength=num_arms) for column in covariates.T], axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            means = totals / count[:, None]
        inside = covariates - means[arms]
        theta, pull = _theta(inside, np.nan_to_num(rest))
        with np.errstate(invalid="ignore"):
            adjusted = mean - (means - covariates.mean(axis=0)) @ theta
        variance = _variances(arms, (rest - inside @ theta) / free / np.sqrt(1.0 - pull), count)
    return [
        Arm(int(count[at]), float(adjusted[at]), float(variance[at]), float(plain[at]), float(mean[at]))
        for at in range(num_arms)
    ]


def compare(arm: Arm, control: Arm, alpha: float = 0.05) -> Effect:
    """A variant beside the control; intervals hold the truth but for `alpha`, at one look."""
    difference, variance = arm.mean - control.mean, arm.variance + control.variance
    error = math.sqrt(variance) if variance > 0 else math.nan if math.isnan(variance) else 0.0
    reach = quantile(1.0 - alpha / 2) * error
    lift = low = high = math.nan
    if control.mean:
        lift = difference / control.mean
        spread = math.sqrt(arm.variance / control.mean**2 + arm.mean**2 * control.variance / control.mean**4)
        low, high = lift - quantile(1.0 - alpha / 2) * spread, lift + quantile(1.0 - alpha / 2) * spread
    p = two_sided(difference / error) if error > 0 else 1.0
    return Effect(difference, variance, difference - reach, difference + reach, lift, low, high, p)


def _variances(arms: NDArray[np.int64], rest: Numbers, count: Numbers) -> Numbers:
    """Variance of each variant's mean, of what units lie beside the mean of all others."""
    squares = np.bincount(arms, rest * rest, minlength=len(count))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(count > 1, squares * (count - 1) / count**3, np.nan)


def _theta(inside: Numbers, rest: Numbers) -> tuple[Numbers, Numbers]:
    """Least squares of what is left on the covariates, and how much each unit draws it to itself (its leverage).

    Covariates that say nothing more than others count nothing.
    """
    scale = np.sqrt((inside**2).mean(axis=0))
    used = inside / np.where(scale > 0, scale, 1.0)
    inverse = np.linalg.pinv(used.T @ used, rcond=1e-10, hermitian=True)
    theta = inverse @ (used.T @ rest)
    pull = np.einsum("np,pq,nq->n", used, inverse, used)
    return np.where(scale > 0, theta / np.where(scale > 0, scale, 1.0), 0.0), np.minimum(pull, 1.0 - 1e-9)
