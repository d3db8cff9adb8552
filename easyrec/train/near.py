"""The items that are near each one by their vectors: hard negatives, made anew while a model trains."""

from __future__ import annotations

import numpy as np

from easyrec.retrieval.indexes import IndexConfig, build

QUERIES = 4096
"""Items whose nearest ones are searched at once."""


def near_items(vectors: np.ndarray, config: IndexConfig, top: tuple[int, int]) -> np.ndarray:
    """(N, W) int32, for each item those at the ranks `top[0]` to before `top[1]`, itself left out; -1 where there are fewer.

    Args:
        vectors: (N, D) float32.
        config: What finds the nearest.
        top: The ranks, from 0.
    """
    index = build(config, vectors.shape[1])
    index.add(np.arange(len(vectors)), vectors)
    found = np.full((len(vectors), top[1] - top[0]), -1, np.int32)
    for start in range(0, len(vectors), QUERIES):
        own = np.arange(start, min(start + QUERIES, len(vectors)))
        nearest, _ = index.search(vectors[own], min(top[1] + 1, len(vectors)))
        last = np.argsort(nearest == own[:, None], axis=1, kind="stable")  # itself behind the others
        others = np.take_along_axis(np.where(nearest == own[:, None], -1, nearest), last, 1)[:, top[0] : top[1]]
        found[own, : others.shape[1]] = others
    return found
