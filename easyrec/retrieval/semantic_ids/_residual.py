"""Residual k-means: each level divides what the levels before it leave."""

from __future__ import annotations

import numpy as np

from easyrec.retrieval.indexes._faiss import faiss


def centres(vectors: np.ndarray, codes: int, iterations: int, seed: int) -> np.ndarray:
    """(C, D) float32, the centres of so many clusters of vectors (N, D), N >= C."""
    options = {"niter": iterations, "seed": seed, "min_points_per_centroid": 1, "max_points_per_centroid": 1024}
    found = faiss.Kmeans(vectors.shape[1], codes, **options)
    found.train(np.ascontiguousarray(vectors, np.float32))
    result: np.ndarray = found.centroids
    return result


def nearest(vectors: np.ndarray, to: np.ndarray) -> np.ndarray:
    """(N,) int64, which of the centres is the nearest to each vector."""
    index = faiss.IndexFlatL2(to.shape[1])
    index.add(to)
    _, found = index.search(np.ascontiguousarray(vectors, np.float32), 1)
    result: np.ndarray = found[:, 0]
    return result
