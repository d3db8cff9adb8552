"""Pairs in the right order, of all rows or inside groups, without comparing each with each."""

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


def concordance(
    scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs in the right order, and pairs, of each group.

    Over all pairs of rows of the group with different labels, the first counts 1 where the greater label scores
    higher and 1/2 where the scores tie, each pair weighted by the product of its rows' weights.

    Merge sort, upside down: rows have a place by label and are listed by score. The list is halved by place, again and
    again; in every part the rows of the left half that are listed before one of the right half make pairs in order
    with it. O(n log n).

    Args:
        scores: (n,) float32, no NaN.
        labels: (n,) float32, no NaN.
        weights: (n,), or None for ones.
        groups: (n,) group of each row, 0 .. G-1 without gaps; None: one group.

    Returns:
        Two (G,) float64; G is 1 without groups.
    """
    n = len(scores)
    if n == 0:
        zero = np.zeros(1 if groups is None else 0)
        return zero, zero.copy()
    # Of equal labels the higher score comes first, so that no pair of them is in order.
    keys = (ordered_bits(labels).astype(np.uint64) << np.uint64(32)) | ~ordered_bits(scores)
    order = np.argsort(keys) if groups is None else np.lexsort((keys, groups))
    keys, group = keys[order], np.zeros(n, np.int64) if groups is None else groups[order].astype(np.int64)
    weight = np.ones(n) if weights is None else weights[order].astype(np.float64)
    number = int(group[-1]) + 1
    # Listed by score; the later place first where scores are equal, and groups backwards: such pairs do not count.
    score = (~group.astype(np.uint64) << np.uint64(32)) | (~keys & np.uint64(0xFFFFFFFF))
    places = n - 1 - np.argsort(score[::-1], kind="stable")

    def equal(key: np.ndarray, at: np.ndarray | slice = slice(None)) -> np.ndarray:
        """(G,), the weight of the pairs of rows of each group that are equal in a key, which is sorted `at` places."""
        key = key[at]
        starts = np.concatenate(([0], np.flatnonzero((key[1:] != key[:-1]) | (group[at][1:] != group[at][:-1])) + 1))
        sums = np.add.reduceat(weight[at], starts) ** 2 - np.add.reduceat(weight[at] ** 2, starts)
        return np.bincount(group[at][starts], 0.5 * sums, number)

    total, same_label = equal(group), equal(keys >> np.uint64(32))
    ties = equal(score, places) - equal(keys)
    ordered = np.bincount(group, _before(places, weight) * weight, number)
    return ordered + 0.5 * ties, total - same_label


def _before(places: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(n,), for each place the weight of the lower places that are listed before it.

    Args:
        places: (n,), the places 0 .. n-1 as they are listed.
        weight: (n,), by place.
    """
    n = len(places)
    bits = max(n - 1, 0).bit_length()
    places = np.concatenate([places, np.arange(n, 1 << bits)]).astype(np.int64)
    weight = np.concatenate([weight, np.zeros(len(places) - n)])
    result = np.zeros(len(places))
    listed = weight[places]
    for bit in reversed(range(bits)):
        right = (places >> bit) & 1 == 1
        left = np.where(right, 0.0, listed).reshape(-1, 2 << bit)  # one part a line
        before = np.cumsum(left, axis=1).reshape(-1)
        result[places[right]] += before[right]
        places, listed = (
            np.stack([a[~right].reshape(-1, 1 << bit), a[right].reshape(-1, 1 << bit)], axis=1).reshape(-1)
            for a in (places, listed)
        )
    return result[:n]
