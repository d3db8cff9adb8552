"""`Moments`: count, mean, variance and range of numbers, merged in float64."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass
class Moments:
    """Count n, mean, ``m2 = sum (x - mean)^2``, minimum and maximum of numbers.

    Two parts merge by ``m2 = m2_a + m2_b + (mean_b - mean_a)^2 * n_a * n_b / n``, which cancels nothing.

    Source:
        Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979.
    """

    count: int = 0
    mean: float = 0.0
    m2: float = 0.0
    min: float = math.inf
    max: float = -math.inf

    def add(self, numbers: np.ndarray[Any, Any]) -> None:
        """Count in (n,) finite numbers."""
        if not len(numbers):
            return
        # Shifted by one of them, a sum of large numbers that are close to each other keeps their differences.
        shift = float(numbers[0])
        mean = float(np.mean(numbers - shift)) + shift
        m2 = float(np.sum(np.square(numbers - mean)))
        self.merge(Moments(len(numbers), mean, m2, float(numbers.min()), float(numbers.max())))

    def merge(self, other: Moments) -> None:
        """Count in what `other` has counted."""
        if not other.count:
            return
        total = self.count + other.count
        delta = other.mean - self.mean
        self.m2 += other.m2 + delta * delta * (self.count / total) * other.count
        self.mean += delta * (other.count / total)
        self.count, self.min, self.max = total, min(self.min, other.min), max(self.max, other.max)

    @property
    def std(self) -> float:
        """Standard deviation, divided by n; 0 exactly where all numbers are the same."""
        return math.sqrt(self.m2 / self.count) if self.count and self.max > self.min else 0.0

    def state(self) -> dict[str, Any]:
        """All of it, for JSON: numbers as hex texts, to the bit."""
        return {k: v.hex() if isinstance(v, float) else v for k, v in asdict(self).items()}

    @staticmethod
    def of(state: Mapping[str, Any]) -> Moments:
        """The moments behind `state`."""
        floats = [float.fromhex(state[key]) for key in ("mean", "m2", "min", "max")]
        return Moments(int(state["count"]), *floats)
