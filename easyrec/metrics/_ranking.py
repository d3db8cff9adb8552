"""The area under the ROC curve, of all rows or inside groups, in one sort."""

from __future__ import annotations

import numpy as np


def ordered_bits(scores: np.ndarray) -> np.ndarray:
    """(n,) uint32 that sort like the float32 `scores`; equal scores (and -0.0 and 0.0) get equal bits."""
    bits = (scores.astype(np.float32) + np.float32(0.0)).view(np.uint32)  # + 0.0 turns -0.0 into 0.0
    negative = bits >> np.uint32(31)
    return bits ^ (np.uint32(0x80000000) | (np.uint32(0) - negative))


def areas(
    scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs in the right order, positives and negatives of each group.

    The first counts, over all pairs of a positive and a negative row of the group, 1 where the positive scores higher
    and 1/2 where they tie, each pair weighted by the product of its rows' weights. Divided by positives * negatives it
    is the AUC (Hanley and McNeil, Radiology 1982).

    Args:
        scores: (n,) float32, no NaN.
        labels: (n,) 0 or 1.
        weights: (n,), or None for ones.
        groups: (n,) group of each row, 0 .. G-1 without gaps; None: one group.

    Returns:
        Three (G,) float64; G is 1 for no rows without groups.
    """
    n = len(scores)
    if n == 0:
        zero = np.zeros(1 if groups is None else 0)
        return zero, zero.copy(), zero.copy()
    bits = ordered_bits(scores)
    keys = bits if groups is None else (groups.astype(np.uint64) << np.uint64(32)) | bits
    order = np.argsort(keys)
    keys = keys[order]
    positive = labels[order].astype(np.float64)
    if weights is None:
        negative = 1.0 - positive
    else:
        weight = weights[order].astype(np.float64)
        negative = (1.0 - positive) * weight
        positive *= weight
    tie = np.concatenate(([0], np.flatnonzero(keys[1:] != keys[:-1]) + 1))  # first row of each run of equal scores
    positive, negative = np.add.reduceat(positive, tie), np.add.reduceat(negative, tie)
    below = np.cumsum(negative) - negative
    if groups is None:
        start = np.zeros(1, np.int64)
    else:
        group = keys[tie] >> np.uint64(32)
        start = np.concatenate(([0], np.flatnonzero(group[1:] != group[:-1]) + 1))
        below -= np.repeat(below[start], np.diff(np.append(start, len(tie))))
    pairs = positive * (below + 0.5 * negative)
    return np.add.reduceat(pairs, start), np.add.reduceat(positive, start), np.add.reduceat(negative, start)
