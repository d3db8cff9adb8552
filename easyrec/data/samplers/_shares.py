"""Shares of items, and draws in proportion to them."""

from __future__ import annotations

import numpy as np


class Shares:
    """Items in proportion to weights, drawn in constant time each.

    Args:
        weights: (N,), not negative, some above 0.

    Attributes:
        shares: (N,) float64, adds up to 1.

    Source:
        Vose, "A linear algorithm for generating random numbers with a given distribution", IEEE Transactions on
        Software Engineering 1991.
    """

    def __init__(self, weights: np.ndarray) -> None:
        total = float(np.sum(weights, dtype=np.float64))
        self.shares = np.asarray(weights, np.float64) / total
        count = len(self.shares)
        self.kept, self.alias = np.ones(count), np.arange(count)
        scaled = self.shares * count
        small, large = list(np.flatnonzero(scaled < 1.0)), list(np.flatnonzero(scaled >= 1.0))
        while small and large:
            low, high = small.pop(), large[-1]
            self.kept[low], self.alias[low] = scaled[low], high
            scaled[high] -= 1.0 - scaled[low]
            if scaled[high] < 1.0:
                small.append(large.pop())

    def draw(self, count: int, random: np.random.Generator) -> np.ndarray:
        """(count,) int64, with replacement."""
        places = random.integers(len(self.kept), size=count)
        drawn: np.ndarray = np.where(random.random(count) < self.kept[places], places, self.alias[places])
        return drawn


def log_taken(shares: np.ndarray, items: np.ndarray, positions: int) -> np.ndarray:
    """(n,) float32, log of the probability that a batch's positions hold an item: ``1 - (1 - q_i)^P``."""
    missed = positions * np.log1p(-np.minimum(shares[items], 1.0 - 1e-12))
    logs: np.ndarray = np.log(np.maximum(-np.expm1(missed), 1e-30)).astype(np.float32)
    return logs
