"""Statistics of the nearest known items, as columns beside vectors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from easyrec.errors import DataError
from easyrec.llm.events import events_of, numbers_of, plain

if TYPE_CHECKING:
    from easyrec.llm.tools.embed import Near

ASKED = 1024
"""Vectors whose nearest are looked for at a time."""


def means(config: Near, ids: pa.Array, where: str) -> tuple[np.ndarray, np.ndarray]:
    """What each item's events say.

    Args:
        config: Which events, and which of their values.
        ids: (N,) of the items; events of others count in the mean over all alone.
        where: The section of the config, for errors.

    Returns:
        (N,) float64, means drawn to that over all events by `prior` events, and (N,) int64, how many events there are.

    Raises:
        DataError: There are no events, or a value is no number.
    """
    sums, counts, total, rows = np.zeros(len(ids)), np.zeros(len(ids), np.int64), 0.0, 0
    for batch in events_of(config, [config.value], where):
        try:
            values: np.ndarray = plain(batch[config.value]).cast(pa.float64()).to_numpy(zero_copy_only=False)
        except pa.ArrowException:
            raise DataError("is no number", file=config.path, column=config.value) from None
        if not np.isfinite(values).all():
            raise DataError("is not finite", file=config.path, column=config.value)
        number = numbers_of(batch[config.item], ids, config.path, config.item)
        total, rows = total + float(values.sum()), rows + len(values)
        known = number >= 0
        sums += np.bincount(number[known], values[known], len(ids))
        counts += np.bincount(number[known], minlength=len(ids))
    if not rows:
        raise DataError("holds no events of the period", file=config.path)
    overall = total / rows
    return (sums + config.prior * overall) / np.maximum(counts + config.prior, 1e-12), counts


class Statistic:
    """The mean of a value over the nearest known items of each item.

    Args:
        config: Says which.
        ids: (N,) of all items.
        vectors: (N, d) float32 of all of them.
        where: The section of the config, for errors.
    """

    def __init__(self, config: Near, ids: pa.Array, vectors: np.ndarray, where: str) -> None:
        from easyrec.retrieval.indexes import build  # noqa: PLC0415 (FAISS stays out until it is used)

        self.config, self._means = config, np.zeros(0)
        self._means, counts = means(config, ids, where)
        known = np.flatnonzero(counts >= config.least)
        cosine = type(config.index)(**{**config.index.model_dump(), "metric": "cosine"})
        self._known, self._index = len(known), build(cosine, vectors.shape[1])
        self._index.add(known, vectors[known])

    def columns(self, vectors: np.ndarray) -> Iterator[tuple[str, pa.Array]]:
        """Both columns; null where no other item is known.

        Args:
            vectors: (N, d) float32 of all items, by number.
        """
        k, own = self.config.k, np.arange(len(vectors))
        means, likeness = np.zeros(len(vectors)), np.zeros(len(vectors))
        found = np.zeros(len(vectors), np.int64)
        for start in range(0, len(vectors) if self._known else 0, ASKED):
            rows = own[start : start + ASKED]
            numbers, scores = self._index.search(vectors[rows], min(k + 1, self._known))
            others = (numbers >= 0) & (numbers != rows[:, None])
            others &= np.cumsum(others, axis=1) <= k
            found[rows] = others.sum(axis=1)
            means[rows] = np.where(others, self._means[np.maximum(numbers, 0)], 0.0).sum(axis=1)
            likeness[rows] = np.where(others, scores, 0.0).sum(axis=1)
        none, among = found == 0, np.maximum(found, 1)
        yield self.config.name, pa.array((means / among).astype(np.float32), mask=none)
        yield f"{self.config.name}_similarity", pa.array((likeness / among).astype(np.float32), mask=none)
