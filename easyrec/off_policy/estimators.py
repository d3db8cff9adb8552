"""Estimators of what a policy is worth: inverse propensity scores, self-normalised, and doubly robust."""

from __future__ import annotations

from typing import Any

import numpy as np

from easyrec.errors import DataError
from easyrec.off_policy.estimate import Estimate, Interval, estimated
from easyrec.off_policy.weights import Logged, Scheme, Weights


def ips(
    logged: Logged,
    *,
    scheme: Scheme = "item",
    clip: float | None = None,
    level: float = 0.95,
    interval: Interval = "skewed",
    seed: int = 0,
    resample: int = 1000,
) -> Estimate:
    """Inverse propensity scores: ``mean_i sum_p w_ip r_ip``. Unbiased, unless weights are clipped.

    Args:
        logged: The log.
        scheme: What a reward hangs on, see `Weights.of`.
        clip: The greatest weight.
        level: Of the interval.
        interval: `skewed`, `normal` or `bootstrap`.
        seed: Of the bootstrap.
        resample: Its samples.

    Source:
        Horvitz and Thompson, JASA 1952.
    """
    weights = Weights.of(logged, scheme, clip)
    of_list = (weights.values * _rewards(logged)).sum(axis=1)
    value = float(of_list.mean())
    options: Any = {"level": level, "interval": interval, "seed": seed, "resample": resample}
    return estimated("ips", scheme, logged, weights, value, of_list - value, **options)


def snips(
    logged: Logged,
    *,
    scheme: Scheme = "item",
    clip: float | None = None,
    level: float = 0.95,
    interval: Interval = "skewed",
    seed: int = 0,
    resample: int = 1000,
) -> Estimate:
    """Self-normalised: ``sum_p  sum_i w_ip r_ip / sum_i w_ip``. A little biased where rows are few, and less spread.

    A reward that is shifted by a constant shifts the estimate by as much, which `ips` does not promise.

    Args:
        logged: The log.
        scheme: What a reward hangs on.
        clip: The greatest weight.
        level: Of the interval, by the delta method.
        interval: `skewed`, `normal` or `bootstrap`.
        seed: Of the bootstrap.
        resample: Its samples.

    Source:
        Swaminathan and Joachims, "The Self-Normalized Estimator for Counterfactual Learning", NeurIPS 2015.
    """
    weights = Weights.of(logged, scheme, clip)
    there, reward = logged.filled, _rewards(logged)
    # Short lists: a position counts by how often there is something.
    share = there.mean(axis=0)
    total = weights.values.sum(axis=0)
    full = np.where(total > 0, total, 1.0)
    of_position = np.where(total > 0, (weights.values * reward).sum(axis=0) / full, 0.0)
    value = float((share * of_position).sum())
    off = weights.values * (reward - of_position) / full * len(logged) * share
    # That a position is there at all is drawn too, with the list.
    influence = off.sum(axis=1) + ((there - share) * of_position).sum(axis=1)
    options: Any = {"level": level, "interval": interval, "seed": seed, "resample": resample}
    return estimated("snips", scheme, logged, weights, value, influence, **options)


def doubly_robust(
    logged: Logged,
    *,
    scheme: Scheme = "item",
    clip: float | None = None,
    level: float = 0.95,
    interval: Interval = "skewed",
    seed: int = 0,
    resample: int = 1000,
) -> Estimate:
    """Doubly robust: ``mean_i sum_p [ expected_ip + w_ip (r_ip - predicted_ip) ]``.

    Right if either the propensities or the model are, and less spread than `ips` as far as the model is good. The model must
    not have learned from these very rows: take earlier ones, or train it on one half and score the other.

    Args:
        logged: The log, with `predicted` and `expected`.
        scheme: What a reward hangs on.
        clip: The greatest weight.
        level: Of the interval.
        interval: `skewed`, `normal` or `bootstrap`.
        seed: Of the bootstrap.
        resample: Its samples.

    Raises:
        DataError: The log has no predictions.

    Source:
        Dudik, Langford, Li, "Doubly Robust Policy Evaluation and Learning", ICML 2011.
    """
    if logged.predicted is None or logged.expected is None:
        raise DataError("doubly robust estimates need `predicted` and `expected` rewards of a model")
    weights = Weights.of(logged, scheme, clip)
    there = logged.filled
    residual = np.where(there, _rewards(logged) - logged.predicted, 0.0)
    expected = logged.expected
    whole = expected if expected.ndim == 1 else np.where(there, expected, 0.0).sum(axis=1)
    of_list = whole + (weights.values * residual).sum(axis=1)
    value = float(of_list.mean())
    options: Any = {"level": level, "interval": interval, "seed": seed, "resample": resample}
    return estimated("dr", scheme, logged, weights, value, of_list - value, **options)


def _rewards(logged: Logged) -> np.ndarray:
    return np.where(logged.filled, logged.reward, 0.0)
