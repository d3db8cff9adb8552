"""The probe: logistic weights of one more feature over a logit that stays as it is, and what they gain on later rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from easyrec.tune.cross.codes import Array, Term

STEPS = 4
"""Newton steps of a probe that decides; one suffices to rank."""
TINY = 1e-9
LONGEST = 2.0
"""Step of a weight, in logits."""
SHORTEST = 0.01
"""Where no weight takes a longer step, they are found."""


@dataclass(frozen=True)
class Gain:
    """What a feature gains.

    Attributes:
        value: Mean decrease of the log loss, in nats per row.
        error: Its standard error.
        auc: Increase of the AUC, NaN where it was not computed.
        auc_error: Its standard error, by DeLong.
    """

    value: float
    error: float
    auc: float = math.nan
    auc_error: float = math.nan

    @property
    def z(self) -> float:
        """The gain in standard errors."""
        return self.value / max(self.error, TINY)


@dataclass(frozen=True)
class Rows:
    """Labels and the logit so far.

    Attributes:
        labels: (rows,) 0 or 1.
        logit: (rows,) of the features that there are.
        weights: (rows,) sample weights; None: all 1.
    """

    labels: Array
    logit: Array
    weights: Array | None = None

    def slope(self, more: Array | float = 0.0) -> tuple[Array, Array]:
        """Of the log likelihood by the logit: (rows,) first derivative, and minus the second."""
        chance = 1.0 / (1.0 + np.exp(-(self.logit + more)))
        first, second = self.labels - chance, chance * (1.0 - chance)
        return (first, second) if self.weights is None else (first * self.weights, second * self.weights)

    def losses(self, more: Array | float = 0.0) -> Array:
        """(rows,) log loss of each."""
        logit = self.logit + more
        found: Array = np.logaddexp(0.0, logit) - self.labels * logit
        return found if self.weights is None else found * self.weights


def fitted(codes: Term, rows: Rows, steps: int = STEPS) -> Array:
    """Weights of the codes that maximise the likelihood under a normal prior, the logit of `rows` being fixed.

    As the logit is fixed, rows of different codes share nothing: each weight is a problem of its own, and a Newton step
    solves all of them in two passes over the rows. The spread of the prior is learned from the rows: under no effect
    the square of a code's gradient g is on average its curvature h, so ``spread^2 = max(0, sum(g^2 - h) / sum(h^2))``,
    by which codes that are seen rarely shrink towards 0, and all of them where the feature says nothing.

    Args:
        codes: The feature.
        rows: What it is fitted on.
        steps: Newton steps.

    Returns:
        (size,) weights; that of code 0 is 0.

    Source:
        Field-wise logistic regression: Luo et al., "AutoCross", KDD 2019, section 5.2, there by mini-batches; the
        spread: DerSimonian and Laird, "Meta-analysis in clinical trials", 1986.
    """
    weights = np.zeros(codes.size)
    precision = math.inf
    for turn in range(steps):
        gradient, curvature, bound = codes.moments(*rows.slope(codes.sums(weights) if turn else 0.0))
        if not turn:
            spread = spread_of(gradient, curvature)
            if spread <= 0.0:
                return weights
            precision = 1.0 / spread
        step = clipped((gradient - precision * weights) / (bound + precision))
        step[0] = 0.0
        weights += step
        if np.abs(step).max() < SHORTEST:
            break
    return weights


def spread_of(gradient: Array, curvature: Array) -> float:
    """Variance of the weights that explains how far gradients are from what chance makes of them; 0 or less: nothing."""
    squares = float((curvature[1:] ** 2).sum())
    return float((gradient[1:] ** 2 - curvature[1:]).sum()) / max(squares, TINY)


def clipped(step: Array) -> Array:
    """A Newton step that stays where the curvature it was computed with means something."""
    return np.clip(step, -LONGEST, LONGEST)


def gain_of(codes: Term, weights: Array, rows: Rows, *, with_auc: bool = False) -> Gain:
    """What weights gain on rows that they were not fitted on."""
    more = codes.sums(weights)
    return compared(rows, more, with_auc=with_auc)


def compared(rows: Rows, more: Array, *, with_auc: bool = False) -> Gain:
    """What it gains to add `more`, (rows,), to the logit."""
    better = rows.losses() - rows.losses(more)
    total = len(better) if rows.weights is None else float(rows.weights.sum())
    error = float(better.std()) * math.sqrt(len(better)) / max(total, 1.0)
    auc, auc_error = auc_gain(rows.labels, rows.logit, rows.logit + more) if with_auc else (math.nan, math.nan)
    return Gain(float(better.sum()) / max(total, 1.0), error, auc, auc_error)


def auc_gain(labels: Array, before: Array, after: Array) -> tuple[float, float]:
    """Difference of two AUCs of the same rows and its standard error; NaN where there is but one label.

    Source:
        DeLong et al., 1988, by the ranks of Sun and Xu, "Fast Implementation of DeLong's Algorithm", 2014.
    """
    positive = labels > 0.5
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return math.nan, math.nan
    parts = []
    for scores in (before, after):
        ranks = _ranks(scores)
        above = (ranks[positive] - _ranks(scores[positive])) / m
        below = 1.0 - (ranks[~positive] - _ranks(scores[~positive])) / n
        parts.append((above, below))
    (above0, below0), (above1, below1) = parts
    variance = float(np.var(above1 - above0)) / n + float(np.var(below1 - below0)) / m
    return float(above1.mean() - above0.mean()), math.sqrt(variance)


def auc_of(labels: Array, scores: Array) -> float:
    """Chance that a positive row scores above a negative one."""
    positive = labels > 0.5
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return math.nan
    return float((_ranks(scores)[positive].sum() - n * (n + 1) / 2) / (n * m))


def _ranks(scores: Array) -> Array:
    """Ranks from 1, equal scores sharing their mean."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    start = np.flatnonzero(first)
    end = np.append(start[1:], len(scores))
    ranks = np.empty(len(scores))
    ranks[order] = ((start + end + 1) / 2.0)[np.cumsum(first) - 1]
    return ranks
