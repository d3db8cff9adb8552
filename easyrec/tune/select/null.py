"""`Null`: what shuffled copies seem to be worth, by how many ids they have."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

FLOOR = 0.25
"""Least spread, as a part of the mean spread, that copies of any size are taken to have."""


class Null:
    """What noise of a size may seem to be worth.

    Noise of few ids is learned otherwise than noise of many: mean and spread of the copies are straight lines over the
    logarithm of their sizes, and what is left is alike for all.

    Args:
        worth: Of each copy.
        sizes: Logarithm of the number of ids, by copy.
        quantile: The share of noise that is to lie below the bound.
    """

    def __init__(self, worth: Mapping[str, float], sizes: Mapping[str, float], quantile: float) -> None:
        self.values = [worth[copy] for copy in worth]
        x, y = np.array([sizes[copy] for copy in worth]), np.array(self.values)
        self.mean = _line(x, y)
        left = y - self._at(self.mean, x)
        self.spread = _line(x, np.abs(left))
        self.least = max(FLOOR * float(np.abs(left).mean()), 1e-12)
        alike = left / np.maximum(self._at(self.spread, x), self.least)
        self.high = float(np.quantile(alike, quantile))

    @staticmethod
    def _at(line: tuple[float, float], x: np.ndarray | float) -> np.ndarray:
        return np.asarray(line[0] + line[1] * np.asarray(x))

    def typical(self, size: float) -> float:
        """What noise of a size seems to be worth on average."""
        return float(self._at(self.mean, size))

    def bound(self, size: float) -> float:
        """What a feature of a size must be worth more than, or it is noise; what makes a model worse is worth nothing."""
        return max(
            float(self._at(self.mean, size) + self.high * max(float(self._at(self.spread, size)), self.least)), 0.0
        )


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Offset and slope of the line of least squares; level where all x are the same, or there are too few."""
    if len(x) < 8 or np.ptp(x) < 1e-9:
        return float(y.mean()), 0.0
    slope, offset = np.polyfit(x, y, 1)
    return float(offset), float(slope)
