"""Clusters that cannot grow too large: sets of vectors are cut in two until each part fits."""

from __future__ import annotations

import numpy as np

ROUNDS = 8
"""Rounds of the two means, and of the power iteration before them."""
SMALLEST = 0.2
"""Share of a set that the smaller half has at least; else it is cut in the middle of its longest direction."""


def clusters(vectors: np.ndarray, weights: np.ndarray, most: int, heaviest: float) -> list[np.ndarray]:
    """Rows that lie near each other.

    Args:
        vectors: (n, d).
        weights: (n,) how much room each takes.
        most: Rows of a cluster at most.
        heaviest: Room that a cluster takes at most; a single row may take more.

    Returns:
        The numbers of rows, ascending, each row in one cluster; the same for the same rows in whatever order.
    """
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = (vectors / np.maximum(length, 1e-12)).astype(np.float64)
    waiting, found = [np.arange(len(unit))], []
    while waiting:
        rows = waiting.pop()
        if not len(rows):
            continue
        if len(rows) == 1 or (len(rows) <= most and weights[rows].sum() <= heaviest):
            found.append(np.sort(rows))
            continue
        right = _half(unit[rows])
        waiting += [rows[right], rows[~right]]
    return sorted(found, key=lambda rows: int(rows[0]))


def _half(unit: np.ndarray) -> np.ndarray:
    """(n,) bool, which rows belong to the second of two clusters, neither of which is empty."""
    centred = unit - unit.mean(axis=0)
    spread = centred.var(axis=0)
    direction = np.zeros(unit.shape[1])
    direction[int(spread.argmax())] = 1.0
    for _ in range(ROUNDS):
        longer = centred.T @ (centred @ direction)
        size = float(np.linalg.norm(longer))
        if size <= 1e-12:  # all alike
            break
        direction = longer / size
    along = centred @ direction
    right: np.ndarray = along > 0
    for _ in range(ROUNDS):
        if not SMALLEST * len(unit) <= right.sum() <= (1.0 - SMALLEST) * len(unit):
            break
        means = np.stack([unit[~right].mean(axis=0), unit[right].mean(axis=0)])
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
        near = unit @ means.T
        again = near[:, 1] > near[:, 0]
        if (again == right).all():
            break
        right = again
    if not SMALLEST * len(unit) <= right.sum() <= (1.0 - SMALLEST) * len(unit):
        order = np.lexsort((*unit.T[:1], along))
        right = np.zeros(len(unit), bool)
        right[order[len(unit) // 2 :]] = True
    return right
