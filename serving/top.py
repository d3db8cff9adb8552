"""The best candidates of a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from easyrec.errors import DataError, nearest


@dataclass(frozen=True)
class Top:
    """The best candidates, the best first; of equal scores, the one that stood first in the request.

    Attributes:
        task: By which they are the best.
        positions: (n,) int64: where they stood in the request.
        scores: By task: (n,) float32, (n, num_classes) for multi-class tasks.
        keys: Their keys, where they were asked for by key; else None.
    """

    task: str
    positions: np.ndarray
    scores: Mapping[str, np.ndarray]
    keys: list[Any] | None = None

    def __len__(self) -> int:
        return len(self.positions)


def best(scores: np.ndarray, k: int) -> np.ndarray:
    """(n,) int64: places of the k highest scores, the highest first, equal ones in their order; NaN comes last."""
    lowest = np.where(np.isnan(scores), np.inf, -scores)
    if k >= len(scores):
        return np.argsort(lowest, kind="stable")
    if k == 0:
        return np.zeros(0, np.int64)
    # Few of many: only what may be among them is sorted, in its order.
    near = np.flatnonzero(lowest <= np.partition(lowest, k - 1)[k - 1])
    return near[np.argsort(lowest[near], kind="stable")][:k]


def top(scores: Mapping[str, np.ndarray], k: int, task: str | None, keys: list[Any] | None = None) -> Top:
    """The best candidates by a task.

    Args:
        scores: Of all candidates, by task.
        k: How many at most.
        task: Which task; it may be left out where there is one.
        keys: Of the candidates.

    Raises:
        DataError: There is no such task, or it has no single score for each candidate, or `k` is below 0.
    """
    if task is None and len(scores) == 1:
        task = next(iter(scores))
    if task is None:
        raise DataError(f"by which task? known: {', '.join(scores)}", column="task")
    if task not in scores:
        raise DataError(f"there is no task '{task[:100]}'{nearest(task, scores)}", column="task")
    if scores[task].ndim != 1:
        raise DataError(f"the task '{task}' has {scores[task].shape[1]} scores for each candidate", column="task")
    if k < 0:
        raise DataError(f"the number of candidates must not be negative, but is {k}", column="top_k")
    positions = best(scores[task], k)
    chosen = {name: values[positions] for name, values in scores.items()}
    return Top(task, positions, chosen, None if keys is None else [keys[i] for i in positions.tolist()])
