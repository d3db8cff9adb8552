"""Edges of buckets that tell a label apart: the thresholds of a decision tree over one number."""

from __future__ import annotations

import heapq
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def tree_boundaries(
    values: Array, counts: Array, labels: Array, buckets: int, min_rows: int = 1, binary: bool = False
) -> Array:
    """Thresholds of the tree that grows best first to `buckets` leaves.

    The leaf and the threshold are split whose gain is the largest; of equal ones the lowest. With n values, labels' sum
    S and squares' sum Q a leaf's impurity is ``Q - S^2 / n``, which is n times the variance, or for a binary label
    ``n * H(S / n)`` with the entropy H; the gain is what the impurity sinks by.

    Args:
        values: (m,) ascending, each once.
        counts: (m,) how many rows have the value.
        labels: (m, 2) sums of their labels, and of the labels' squares.
        buckets: Most leaves.
        min_rows: Rows that a leaf holds at least.
        binary: The labels are 0 and 1.

    Returns:
        Ascending edges, each one of `values`; a value equal to an edge lies above it.

    Source:
        Breiman et al., "Classification and Regression Trees", 1984; best first: Shi, "Best-first Decision Tree
        Learning", 2007.
    """
    rows = np.concatenate([np.zeros(1), np.cumsum(counts, dtype=np.float64)])
    sums = np.concatenate([np.zeros((1, 2)), np.cumsum(labels, axis=0)])

    def impurity(first: Any, last: Any) -> Any:
        n = rows[last] - rows[first]
        s, q = (sums[last, k] - sums[first, k] for k in (0, 1))
        if not binary:
            return q - s * s / n
        return _plogp(n) - _plogp(np.clip(s, 0, n)) - _plogp(np.clip(n - s, 0, n))

    def best(first: int, last: int) -> tuple[float, int] | None:
        """Gain and position of the best split of a leaf."""
        low = int(np.searchsorted(rows, rows[first] + min_rows, side="left"))
        high = int(np.searchsorted(rows, rows[last] - min_rows, side="right")) - 1
        low, high = max(low, first + 1), min(high, last - 1)
        if low > high:
            return None
        cuts = np.arange(low, high + 1)
        whole = float(impurity(first, last))
        gains = whole - impurity(first, cuts) - impurity(cuts, last)
        at = int(np.argmax(gains))
        # What rounding leaves of a pure leaf's impurity is no gain.
        return (float(gains[at]), int(cuts[at])) if gains[at] > 1e-12 * (abs(whole) + rows[-1] * 1e-3) else None

    edges: list[int] = []
    heap: list[tuple[float, int, int, int]] = []

    def push(first: int, last: int) -> None:
        found = best(first, last)
        if found is not None:
            heapq.heappush(heap, (-found[0], found[1], first, last))

    if len(values):
        push(0, len(values))
    while heap and len(edges) < buckets - 1:
        _, cut, first, last = heapq.heappop(heap)
        edges.append(cut)
        push(first, cut)
        push(cut, last)
    return values[np.array(sorted(edges), np.int64)]


def _plogp(x: Any) -> Any:
    """``x * ln(x)``, 0 for 0."""
    return x * np.log(np.where(x > 0, x, 1.0))
