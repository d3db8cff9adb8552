"""Counts of numbers in bins, and how far two such counts are from each other."""

from __future__ import annotations

import numpy as np

BINS = 10
"""Bins of numbers, about; a value that many rows have gets one of its own beside them."""
HALF = 0.5
"""Of a row, which every bin is given, so that an empty one says little instead of infinitely much."""


def psi(reference: np.ndarray, found: np.ndarray) -> float:
    """Population stability index of two histograms over the same bins; 0 where their shares are equal.

    ``sum_b (p_b - q_b) * ln(p_b / q_b)`` over the bins that one of them has rows in, with shares
    ``p_b = (n_b + 1/2) / (n + B/2)``.

    Args:
        reference: (bins,) rows of training.
        found: (bins,) rows of now; may be weighted.

    Source:
        Siddiqi, "Credit Risk Scorecards", 2006, ch. 8; the sum is the symmetric divergence of Kullback and Leibler, "On
        Information and Sufficiency", 1951, eq. (2.6). The half row in each bin is Jeffreys' prior. Of equal shares
        it is about (B - 1) * (1/n + 1/m): Yurdakul, "Statistical Properties of Population Stability Index", 2018.
    """
    used = (reference > 0) | (found > 0)
    if not used.any():
        return 0.0
    p, q = (_shares(np.asarray(counts, np.float64)[used]) for counts in (reference, found))
    return float(np.sum((p - q) * np.log(p / q)))


def _shares(counts: np.ndarray) -> np.ndarray:
    shares: np.ndarray = (counts + HALF) / (counts.sum() + HALF * len(counts))
    return shares


def edges_of(values: np.ndarray) -> list[float]:
    """Edges between bins of about equally many values; a value that fills more than one bin lies in one of its own."""
    finite = values[np.isfinite(values)].astype(np.float32)
    if not len(finite):
        return []
    cuts = np.quantile(finite, np.arange(1, BINS) / BINS, method="lower")
    distinct, times = np.unique(cuts, return_counts=True)
    own = distinct[times > 1]
    return [float(edge) for edge in np.unique(np.concatenate([distinct, np.nextafter(own, np.float32(np.inf))]))]


def count_numbers(values: np.ndarray, edges: list[float]) -> np.ndarray:
    """Counts by bin, and of values that are not finite."""
    flat = np.asarray(values, np.float32).reshape(-1)
    finite = np.isfinite(flat)
    bins = np.searchsorted(np.asarray(edges, np.float32), flat, side="right")
    return np.bincount(np.where(finite, bins, len(edges) + 1), minlength=len(edges) + 2)
