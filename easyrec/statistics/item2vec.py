"""`item2vec`: items are near whose vectors are, which word2vec learns from users' histories as if these were sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from pydantic import Field

from easyrec.config.statistic import StatisticConfig
from easyrec.errors import MissingExtra
from easyrec.statistics._statistic import HELD, Links, Statistic, Taken, first


class Config(StatisticConfig):
    """Config of `item2vec`."""

    type: Literal["item2vec"] = "item2vec"
    neighbours: int = Field(100, gt=0)
    """Items that each item keeps, the nearest ones."""
    dim: int = Field(64, gt=0)
    """Width of the vectors."""
    window: int | None = Field(None, gt=0)
    """Steps to either side that are near a step; null: the whole history, as of a set."""
    negatives: int = Field(15, gt=0)
    """Items drawn against each pair."""
    negative_exponent: float = Field(0.75, ge=-1.0, le=1.0)
    """They are drawn by this power of how often they are met."""
    subsample: float = Field(1e-3, ge=0.0)
    """Items that are met in a larger share of all steps are left out at times."""
    passes: int = Field(20, gt=0)
    """How often the histories are gone through."""
    lr: float = Field(0.025, gt=0.0)
    """Learning rate at the start; it falls to a hundredth of this."""


class Item2Vec(Statistic):
    """``S_ij = <v_i, v_j> / |v_i| |v_j|``, S_ii = 0, of the vectors of skip-grams with negative sampling.

    On one thread, so that the same seed gives the same numbers.

    Source:
        Barkan and Koenigstein, "Item2Vec: Neural Item Embedding for Collaborative Filtering", 2016, section 3.
    """

    def links(self, taken: Taken) -> Links:
        """S."""
        vectors = self.vectors(taken)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return nearest(vectors / np.where(lengths > 0, lengths, 1.0), lengths[:, 0] > 0, self.config.neighbours)

    def vectors(self, taken: Taken) -> np.ndarray:
        """(N, dim) float32; zeros of items that no one took."""
        model = self._trained(taken)
        vectors = np.zeros((taken.num_items, self.config.dim), np.float32)
        vectors[np.asarray(model.index_to_key, np.int64)] = model.vectors
        return vectors

    def _trained(self, taken: Taken) -> Any:
        try:
            from gensim.models import Word2Vec  # noqa: PLC0415 (an extra)
        except ImportError as error:
            raise MissingExtra("gensim", "item2vec") from error
        config = self.config
        longest = int(np.diff(taken.offsets).max(initial=1))
        return Word2Vec(
            sentences=_Sentences(taken),
            vector_size=config.dim,
            window=config.window or max(longest, 1),
            shrink_windows=config.window is not None,
            sg=1,
            hs=0,
            negative=config.negatives,
            ns_exponent=config.negative_exponent,
            sample=config.subsample,
            epochs=config.passes,
            alpha=config.lr,
            min_alpha=config.lr / 100,
            min_count=1,
            seed=self.seed & 0x7FFFFFFF,
            workers=1,
        ).wv


class _Sentences:
    """Histories of more than one item, as often as they are asked for."""

    def __init__(self, taken: Taken) -> None:
        self.taken = taken

    def __iter__(self) -> Iterator[list[int]]:
        items, offsets = self.taken.items, self.taken.offsets
        for user in np.flatnonzero(np.diff(offsets) > 1):
            yield items[offsets[user] : offsets[user + 1]].tolist()


def nearest(vectors: np.ndarray, known: np.ndarray, keep: int) -> Links:
    """Of each item those of the largest inner products.

    Args:
        vectors: (N, D).
        known: (N,) bool, items that are near others at all.
        keep: How many each keeps.
    """
    size, numbers = len(vectors), np.flatnonzero(known)
    keep = min(keep, max(len(numbers) - 1, 0))
    items, values = np.zeros((size, keep), np.int32), np.zeros((size, keep), np.float32)
    step = max(HELD // max(len(numbers), 1), 1)
    for start in range(0, len(numbers) if keep else 0, step):
        rows = numbers[start : start + step]
        scores = vectors[rows] @ vectors[numbers].T
        scores[np.arange(len(rows)), np.arange(start, start + len(rows))] = -np.inf
        columns, values[rows] = first(scores, scores, keep)
        items[rows] = numbers[columns]
    return Links.of(items, values, np.where(known, keep, 0))
