"""What an index finds in how much time, by how hard it tries: to choose one and its settings."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from easyrec.retrieval.indexes._faiss import faiss
from easyrec.retrieval.indexes._index import Index

ENOUGH = 0.999
"""Recall beyond which no more effort is tried."""
FIRST = 10
"""Searches before the clock counts."""
LEAST = 20
"""Searches that are timed at least."""


@dataclass(frozen=True)
class Point:
    """What an index did at one setting.

    Attributes:
        name: The index, and what tells it apart.
        config: Its config, with this setting.
        recall: Share of the k nearest that it finds; mean over queries.
        p50_ms, p95_ms: Quantiles of the time of one search, one thread.
        processor_ms: Processor time of one search, median: what it takes on a machine with nothing else to do.
        searches: How many were timed.
        bytes: Size of a vector in the index, with all that is kept for it.
    """

    name: str
    config: Mapping[str, Any]
    recall: float
    p50_ms: float
    p95_ms: float
    processor_ms: float
    searches: int
    bytes: float


@dataclass(frozen=True)
class Exact:
    """The k nearest vectors of some queries, found by comparing all.

    Attributes:
        queries: (B, D) float32.
        least: (B,) float64, the nearness of the k-th: what is as near is as good.
        vectors: (N, D) float32, of all that may be found; its ids are their numbers.
        metric: What is near.
    """

    queries: np.ndarray
    least: np.ndarray
    vectors: np.ndarray
    metric: str
    k: int

    @staticmethod
    def of(queries: np.ndarray, vectors: np.ndarray, k: int, metric: str) -> Exact:
        """Compare all.

        Args:
            queries: (B, D).
            vectors: (N, D).
            k: How many are wanted.
            metric: As an index names it.
        """
        k = min(k, len(vectors))
        mine = _unit(queries) if metric == "cosine" else queries
        theirs = _unit(vectors) if metric == "cosine" else vectors
        _, found = faiss.knn(mine, theirs, k, faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT)
        made = Exact(queries, np.zeros(len(queries)), vectors, metric, k)
        return Exact(queries, made.nearness(found).min(axis=1), vectors, metric, k)

    def nearness(self, ids: np.ndarray) -> np.ndarray:
        """(B, k) float64, of each query to the vectors of its ids; -inf where there is none."""
        values = np.empty(ids.shape, np.float64)
        for row, numbers in enumerate(ids):
            query, found = self.queries[row].astype(np.float64), self.vectors[numbers].astype(np.float64)
            if self.metric == "l2":
                values[row] = -((found - query) ** 2).sum(axis=1)
            else:
                values[row] = found @ query
                if self.metric == "cosine":
                    values[row] /= np.maximum(np.linalg.norm(found, axis=1) * np.linalg.norm(query), 1e-12)
        return np.where(ids >= 0, values, -np.inf)

    def recall(self, ids: np.ndarray) -> float:
        """Share of the k nearest among what was found; what is as near as the k-th of them is one of them."""
        slack = 1e-6 * np.maximum(1.0, np.abs(self.least))
        return float((self.nearness(ids) >= (self.least - slack)[:, None]).sum(axis=1).mean() / self.k)


def measured(index: Index, name: str, exact: Exact, seconds: float) -> Point:
    """What an index does as it is.

    Args:
        index: The index over `exact.vectors`.
        name: What it is called.
        exact: What there is to find.
        seconds: How long searches are timed.
    """
    ids, _ = index.search(exact.queries, exact.k)
    with one_thread():
        times, processor = _timed(index, exact, seconds)
    p50, p95 = (float(q) for q in np.percentile(times, [50, 95]) * 1e3)
    own = float(np.median(processor) * 1e3)
    return Point(
        name, index.config.model_dump(), exact.recall(ids), p50, p95, own, searches=len(times), bytes=index.bytes_each
    )


def sweep(index: Index, name: str, exact: Exact, seconds: float, recall: float) -> Iterator[Point]:
    """An index at rising effort, until it finds all but nothing more; then between what fails and what reaches `recall`.

    Args:
        index: The index over `exact.vectors`.
        name: What it is called.
        exact: What there is to find.
        seconds: How long searches are timed, at each setting.
        recall: The recall that is wanted.
    """
    key = index.config.effort
    if key is None:
        yield measured(index, name, exact, seconds)
        return
    below, above = 0, 0
    for effort in index.efforts(exact.k):
        point = measured(index.asked(**{key: effort}), name, exact, seconds)
        yield point
        if point.recall >= recall:
            above = above or effort
        elif not above:
            below = effort
        if point.recall >= max(ENOUGH, recall):
            break
    for _ in range(2):
        middle = (below + above) // 2
        if not below or not above or middle in (below, above):
            return
        point = measured(index.asked(**{key: middle}), name, exact, seconds)
        yield point
        below, above = (below, middle) if point.recall >= recall else (middle, above)


def cheapest(points: list[Point], recall: float) -> Point | None:
    """The setting of the least processor time that reaches a recall; None: none does."""
    return min((p for p in points if p.recall >= recall), key=lambda p: p.processor_ms, default=None)


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside, FAISS has one thread."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _timed(index: Index, exact: Exact, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    queries = exact.queries
    for row in range(min(FIRST, len(queries))):
        index.search(queries[row : row + 1], exact.k)
    times, processor = [], []
    start = time.perf_counter()
    for row in range(len(queries)):
        wall, own = time.perf_counter(), time.thread_time()
        index.search(queries[row : row + 1], exact.k)
        processor.append(time.thread_time() - own)
        times.append(time.perf_counter() - wall)
        if row + 1 >= LEAST and times[-1] + wall - start > seconds:
            break
    return np.array(times), np.array(processor)


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    unit: np.ndarray = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return unit
