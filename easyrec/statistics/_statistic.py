"""What statistics share: what users took, how near items are to each other, and what follows for a user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from typing_extensions import Self

from easyrec.statistics import _kernels

TINY = 1e-6
"""What popularity may add to a score, in means of the matrix: it orders what is otherwise alike."""

HELD = 1 << 24
"""Entries of a matrix that are ordered at once."""


@dataclass(frozen=True)
class Taken:
    """What U users took of N items.

    Attributes:
        items: (P,) int32, the items of each user, oldest first.
        offsets: (U+1,) int64, whose they are.
        num_items: N.
    """

    items: np.ndarray
    offsets: np.ndarray
    num_items: int

    @property
    def users(self) -> np.ndarray:
        """(P,) int64, who took each."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def distinct(self) -> Taken:
        """Each user's items once, in ascending order."""
        pairs = np.unique(self.users * self.num_items + self.items)
        offsets = np.searchsorted(pairs, np.arange(len(self.offsets)) * self.num_items)
        return Taken((pairs % self.num_items).astype(np.int32), offsets.astype(np.int64), self.num_items)

    def by_item(self) -> Taken:
        """The same by item: its users, in ascending order where each user's items are distinct."""
        order = np.argsort(self.items, kind="stable")
        offsets = np.concatenate([[0], np.cumsum(np.bincount(self.items, minlength=self.num_items))])
        return Taken(self.users[order].astype(np.int32), offsets.astype(np.int64), len(self.offsets) - 1)


@dataclass(frozen=True)
class Links:
    """S, how near items are: row i tells what follows from having taken i.

    Attributes:
        values: (E,) float32; (N, N) where the matrix is dense.
        items: (E,) int32, the columns of the values; None: the matrix is dense.
        offsets: (N+1,) int64, the rows of the values; None: the matrix is dense.
    """

    values: np.ndarray
    items: np.ndarray | None = None
    offsets: np.ndarray | None = None

    @classmethod
    def none(cls, num_items: int) -> Self:
        """Items of which none is near another one."""
        return cls(np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros(num_items + 1, np.int64))

    @classmethod
    def of(cls, items: np.ndarray, values: np.ndarray, counts: np.ndarray) -> Self:
        """Rows of which the first `counts` entries are filled: (N, K), (N, K) and (N,)."""
        filled = np.arange(items.shape[1]) < counts[:, None]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return cls(values[filled], items[filled].astype(np.int32), offsets)

    @classmethod
    def largest(cls, values: np.ndarray, keep: int, key: np.ndarray | None = None) -> Self:
        """The `keep` entries of each row of (N, N) whose key is the largest, in the order of the values.

        Args:
            values: (N, N).
            keep: How many entries a row keeps; the item itself is none of them.
            key: (N, N), what chooses; None: the values.
        """
        size, keep = len(values), min(keep, len(values) - 1)
        items, kept = np.zeros((size, keep), np.int32), np.zeros((size, keep), np.float32)
        for start in range(0, size, max(HELD // size, 1)):
            rows = slice(start, min(start + max(HELD // size, 1), size))
            keys = np.array((values if key is None else key)[rows])
            keys[np.arange(len(keys)), np.arange(size)[rows]] = -np.inf
            items[rows], kept[rows] = first(keys, values[rows], keep)
        return cls.of(items, kept, np.full(size, keep))

    def scaled(self) -> Links:
        """The same, sparse, with rows that add up to 1."""
        assert self.offsets is not None
        rows = np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))
        sums = np.bincount(rows, self.values, len(self.offsets) - 1)
        sums[sums == 0.0] = 1.0
        return Links((self.values / sums[rows]).astype(np.float32), self.items, self.offsets)

    def nearest(self, keep: int) -> Links:
        """At most `keep` entries of each row, the largest first."""
        if self.items is None or self.offsets is None:
            return self.largest(self.values, keep)
        rows = np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))
        order = np.lexsort((-self.values, rows))
        kept = order[np.arange(len(order)) - self.offsets[:-1][rows] < keep]
        counts = np.minimum(np.diff(self.offsets), keep)
        return Links(self.values[kept], self.items[kept], np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))


def first(keys: np.ndarray, values: np.ndarray, keep: int) -> tuple[np.ndarray, np.ndarray]:
    """The `keep` columns of each row with the largest keys, and their values, the largest first."""
    chosen = np.sort(np.argpartition(-keys, max(keep - 1, 0), axis=1)[:, :keep], axis=1)
    found = np.take_along_axis(values, chosen, 1)
    order = np.argsort(-found, axis=1, kind="stable")
    return np.take_along_axis(chosen, order, 1), np.take_along_axis(found, order, 1)


@dataclass(frozen=True)
class Histories:
    """What B users are known by.

    Attributes:
        items: (P,) int32, numbers of items, each once for a user.
        weights: (P,) float32, w of each.
        offsets: (B+1,) int64, whose they are.
    """

    items: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, numbers: np.ndarray, offsets: np.ndarray, recency: float = 1.0) -> Self:
        """Of users' steps, oldest first: the newest of those with the same item counts.

        Args:
            numbers: Numbers of items, -1 for what is none.
            offsets: Whose steps they are.
            recency: What a step's weight is multiplied by for each newer one.
        """
        users = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        known = np.flatnonzero(numbers >= 0)[::-1]
        _, first = np.unique(users[known] * (int(numbers.max(initial=0)) + 1) + numbers[known], return_index=True)
        kept = np.sort(known[first])
        users = users[kept]
        offsets = np.searchsorted(users, np.arange(len(offsets))).astype(np.int64)
        ages = offsets[1:][users] - 1 - np.arange(len(kept))
        return cls(numbers[kept].astype(np.int32), np.power(recency, ages).astype(np.float32), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, part: slice) -> Histories:
        start, stop, _ = part.indices(len(self))
        low, high = self.offsets[start], self.offsets[stop]
        return Histories(self.items[low:high], self.weights[low:high], self.offsets[start : stop + 1] - low)


@dataclass(frozen=True)
class Known:
    """Users by id, with what training saw of them.

    Attributes:
        ids: (U,) int64, ascending.
        taken: What each took.
    """

    ids: np.ndarray
    taken: Taken

    @classmethod
    def of(cls, ids: np.ndarray, items: np.ndarray, num_items: int) -> Self:
        """Of rows, in order: each a user's id and the number of an item."""
        order = np.argsort(ids, kind="stable")
        users, starts = np.unique(ids[order], return_index=True)
        offsets = np.append(starts, len(ids)).astype(np.int64)
        return cls(users, Taken(items[order].astype(np.int32), offsets, num_items))

    def find(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The steps of users, and the offsets of these; an id that training did not see has none."""
        places = np.minimum(np.searchsorted(self.ids, ids), max(len(self.ids) - 1, 0))
        seen = self.ids[places] == ids if len(self.ids) else np.zeros(len(ids), bool)
        offsets = self.taken.offsets
        lengths = np.where(seen, offsets[places + 1] - offsets[places], 0) if len(self.ids) else np.zeros(len(ids), int)
        found = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        steps = np.arange(found[-1]) - np.repeat(found[:-1], lengths) + np.repeat(offsets[places], lengths)
        return self.taken.items[steps].astype(np.int64), found


class Statistic:
    """Score of item j for a user who took the items H: ``sum_{i in H} w_i S[i, j] + b_j``.

    A statistic defines `links`, which gives S. b is the popularity of items, so small that it only orders what scores
    alike: what a user without a history is given is what most took.

    Args:
        config: The `model` section.
        threads: Threads that count; the numbers are the same with any.
        seed: Where chance starts.
    """

    def __init__(self, config: Any, threads: int = 1, seed: int = 0) -> None:
        self.config, self.threads, self.seed = config, threads, seed

    def links(self, taken: Taken) -> Links:
        """S, of what users took."""
        raise TypeError(f"{type(self).__name__} must define links")

    def fit(self, taken: Taken) -> tuple[Links, np.ndarray]:
        """S, and b: (N,) float32."""
        links, counts = self.links(taken), np.bincount(taken.items, minlength=taken.num_items)
        mean = float(np.abs(links.values).mean(dtype=np.float64)) if links.values.size else 0.0
        return links, (counts * (TINY * (mean or 1.0) / max(counts.max(initial=0), 1))).astype(np.float32)


class Scores:
    """What all items score for users, by what these took.

    Args:
        links: S.
        bias: b.
        repeats: Whether what a user took scores too; else it scores -inf.
        threads: Threads that add up.
    """

    def __init__(self, links: Links, bias: np.ndarray, *, repeats: bool = True, threads: int = 1) -> None:
        self.links, self.bias, self.repeats, self.threads = links, bias, repeats, threads
        self._kernel = _kernels.Scores(links.offsets, links.items, links.values, bias)

    def __len__(self) -> int:
        return len(self.bias)

    def __call__(self, histories: Histories) -> np.ndarray:
        """(B, N) float32."""
        scores = np.empty((len(histories), len(self)), np.float32)
        self._kernel(histories.offsets, histories.items, histories.weights, self.threads, scores)
        if not self.repeats:
            scores[np.repeat(np.arange(len(histories)), np.diff(histories.offsets)), histories.items] = -np.inf
        return scores
