"""Post-hoc calibration of probabilities: fitted on valid, stored as JSON, applied by serving. Knows no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from typing_extensions import Self

from easyrec.modules.ascending import corners, fit_ascending

EPSILON = 1e-7
"""Probabilities are kept this far from 0 and 1 before their logit is taken."""
STEEPEST = 4.0
"""Largest slope of an isotonic map where p is 1/4 or more; below, 1 / p rounded down to a power of two."""
POOLS = 4096
"""Where an isotonic fit meets more different probabilities, neighbours are pooled to so many groups of equal weight."""


class Calibration(ABC):
    """A monotone map from a model's probability to a calibrated one."""

    method: ClassVar[str]

    @classmethod
    @abstractmethod
    def fit(cls, probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> Self:
        """Fit.

        Args:
            probabilities: (n,) in 0 .. 1.
            labels: (n,) 0 or 1.
            weights: (n,), not negative; None: ones.
        """

    @abstractmethod
    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """The calibrated probabilities, float32, of the same shape."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """The fitted map as plain data; `from_json` restores it exactly."""

    @classmethod
    @abstractmethod
    def restored(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: The data are no such map.
        """


class Platt(Calibration):
    """``sigmoid(slope * logit(p) + shift)``.

    Source:
        Platt, "Probabilistic outputs for support vector machines", 1999, with its smoothed targets; fitted by Newton's
        method as in Lin et al., "A note on Platt's probabilistic outputs", Machine Learning 2007.
    """

    method = "platt"

    def __init__(self, slope: float, shift: float) -> None:
        self.slope, self.shift = slope, shift

    @classmethod
    def fit(cls, probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> Self:
        """Minimise the logloss; without rows nothing is changed."""
        x = _logit(probabilities)
        weight = np.ones(len(x)) if weights is None else weights.astype(np.float64)
        positives = float(weight[labels != 0].sum())
        negatives = float(weight.sum()) - positives
        if positives + negatives == 0.0:
            return cls(1.0, 0.0)
        target = np.where(labels != 0, (positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0))
        center = float(np.average(x, weights=weight))  # centred, the Hessian is near diagonal
        x = x - center
        slope, shift = 0.0, float(np.log((positives + 1.0) / (negatives + 1.0)))
        loss = _logloss(slope * x + shift, target, weight)
        for _ in range(100):
            p = _sigmoid(slope * x + shift)
            residual, curvature = weight * (p - target), weight * p * (1.0 - p)
            gradient = np.array([residual @ x, residual.sum()])
            cross = float(curvature @ x)
            hessian = np.array([[curvature @ (x * x) + 1e-12, cross], [cross, curvature.sum() + 1e-12]])
            step = np.linalg.solve(hessian, gradient)
            for _ in range(30):  # halve the step until the loss falls
                candidate = slope - step[0], shift - step[1]
                smaller = _logloss(candidate[0] * x + candidate[1], target, weight)
                if smaller <= loss:
                    break
                step = step / 2.0
            else:
                break
            slope, shift, fell, loss = float(candidate[0]), float(candidate[1]), loss - smaller, smaller
            if fell <= 1e-12 * abs(loss):
                break
        return cls(slope, shift - slope * center)

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """The calibrated probabilities."""
        return _sigmoid(self.slope * _logit(probabilities) + self.shift).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """Slope and shift."""
        return {"method": self.method, "slope": self.slope, "shift": self.shift}

    @classmethod
    def restored(cls, data: Mapping[str, Any]) -> Self:
        """The map with these numbers."""
        slope, shift = float(data["slope"]), float(data["shift"])
        if not np.isfinite([slope, shift]).all():
            raise ValueError("slope and shift must be finite")
        return cls(slope, shift)


class Isotonic(Calibration):
    """The ascending function of p nearest to the labels whose slope is at most max(4, 1/p), linear between its knots.

    Beyond the outer knots it is constant. Its values reach 0 and 1 where the first or last rows are of one class.

    The bound is there because the same row's p is not the same everywhere: another batch size or runtime sums in
    another order, and float32 rounds. This noise is about 1e-6 of p, and 2.5e-7 at most, so it moves what comes out by
    no more than about 1e-6. Without a bound one step of the map could multiply it by thousands.

    Source:
        Zadrozny and Elkan, "Transforming classifier scores into accurate multiclass probability estimates", KDD 2002;
        with bounded slopes: Agarwal, Phillips and Sadri, LATIN 2010, see `easyrec.modules.ascending`.
    """

    method = "isotonic"

    def __init__(self, knots: np.ndarray, values: np.ndarray) -> None:
        self.knots, self.values = knots, values

    @classmethod
    def fit(cls, probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> Self:
        """Minimise the squared error; without rows nothing is changed."""
        weight = np.ones(len(labels)) if weights is None else weights.astype(np.float64)
        counted = weight > 0.0
        knots, place = np.unique(probabilities[counted].astype(np.float64), return_inverse=True)
        if len(knots) == 0:
            return cls(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
        mass = np.bincount(place, weight[counted])
        positive = np.bincount(place, weight[counted] * (labels[counted] != 0))
        if len(knots) > POOLS:
            pool = np.minimum((np.cumsum(mass) - mass / 2.0) * (POOLS / mass.sum()), POOLS - 1).astype(np.int64)
            first = np.flatnonzero(np.diff(pool, prepend=-1))
            knots, mass, positive = (np.add.reduceat(values, first) for values in (knots * mass, mass, positive))
            knots = knots / mass
        mean = positive / mass
        slopes = _steepest(knots[1:])  # of each piece the bound at its right end: left of it a larger one holds
        steps = slopes * np.diff(knots)
        values = np.clip(fit_ascending(mean, mass, steps), 0.0, 1.0)
        kept = corners(values, steps, slopes)
        return cls(knots[kept], values[kept])

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """The calibrated probabilities."""
        return np.asarray(np.interp(probabilities.astype(np.float64), self.knots, self.values), np.float32)

    def to_json(self) -> dict[str, Any]:
        """Knots and values."""
        return {"method": self.method, "knots": self.knots.tolist(), "values": self.values.tolist()}

    @classmethod
    def restored(cls, data: Mapping[str, Any]) -> Self:
        """The map through these knots."""
        knots, values = np.array(data["knots"], np.float64), np.array(data["values"], np.float64)
        if knots.ndim != 1 or knots.shape != values.shape or len(knots) == 0:
            raise ValueError("knots and values must be equally many")
        if (np.diff(knots) <= 0).any() or (np.diff(values) < 0).any() or not np.isfinite([knots, values]).all():
            raise ValueError("knots and values must ascend")
        return cls(knots, values)


METHODS: dict[str, type[Calibration]] = {"platt": Platt, "isotonic": Isotonic}


def fit(method: str, probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> Calibration:
    """Fit the calibration called `method`, see `Calibration.fit`."""
    return METHODS[method].fit(probabilities, labels, weights)


def from_json(data: Mapping[str, Any]) -> Calibration:
    """The calibration that `to_json` wrote.

    Raises:
        KeyError, TypeError, ValueError: The data are none.
    """
    return METHODS[data["method"]].restored(data)


def _logit(probabilities: np.ndarray) -> np.ndarray:
    p = np.clip(probabilities.astype(np.float64), EPSILON, 1.0 - EPSILON)
    return np.asarray(np.log(p / (1.0 - p)))


def _steepest(p: np.ndarray) -> np.ndarray:
    """(n,) the bound on the slope at each p."""
    return np.asarray(np.maximum(STEEPEST, np.exp2(np.floor(-np.log2(np.maximum(p, EPSILON))))))


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-np.logaddexp(0.0, -logits)))


def _logloss(logits: np.ndarray, target: np.ndarray, weight: np.ndarray) -> float:
    return float(weight @ (np.logaddexp(0.0, logits) - target * logits))
