"""`Quantiles`: ranks of any number of numbers in fixed memory, with an error that it can prove."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

CAPACITY = 1 << 14


@dataclass
class _Level:
    """Numbers that stand for 2^h numbers each, in no order, with the sums of their labels and of their squares."""

    values: list[Array] = field(default_factory=list)
    labels: list[Array] = field(default_factory=list)
    upper: bool = False

    @property
    def size(self) -> int:
        return sum(map(len, self.values))


class Quantiles:
    """Keeps a sample of the numbers in levels; a number of level h stands for 2^h of them.

    A level that has grown to twice the `capacity` is sorted. Numbers that are equal go up a level two by two, as one,
    which costs nothing: fewer distinct numbers than `capacity` are counted exactly, however often they come. If
    `capacity` numbers or more are left, all different, these are paired: of each pair one goes up, the lower and the
    upper one by turns. It stands for both, so that of all numbers below any x such a step shifts at most the 2^h of the
    one pair that lies around x. These steps are counted: `error` is the sum of their 2^h, and no count below any x is
    wrong by more. A step at level h takes at least `capacity` of the at most n / 2^h numbers that ever come there, hence
    ``error <= n / capacity * (1 + log2(n / capacity))``, however n numbers were cut into shards and merged.

    With labels a pair adds up the labels of its two. The same shifts bound the error of a sum of labels in 0 .. 1.

    Args:
        labelled: Whether numbers come with labels.
        capacity: Numbers of a level, even.

    Source:
        The compactor of Manku, Rajagopalan and Lindsay, "Approximate Medians and other Quantiles in One Pass and with
        Limited Memory", SIGMOD 1998; in the form of Agarwal et al., "Mergeable Summaries", PODS 2012, without chance.
    """

    def __init__(self, labelled: bool = False, capacity: int = CAPACITY) -> None:
        if capacity < 4 or capacity % 2:
            raise ValueError(f"the capacity must be even and at least 4, but is {capacity}")
        self.labelled, self.capacity = labelled, capacity
        self.count = 0
        self.error = 0
        self._levels: list[_Level] = [_Level()]

    def add(self, numbers: Array, labels: Array | None = None) -> None:
        """Count in (n,) finite numbers, with their (n,) labels."""
        if not len(numbers):
            return
        level = self._levels[0]
        level.values.append(np.array(numbers, np.float64))
        if self.labelled:
            assert labels is not None
            level.labels.append(np.stack([labels, np.square(labels)], axis=1))
        self.count += len(numbers)
        self._settle()

    def merge(self, other: Quantiles) -> None:
        """Count in what `other` has counted; it must be of the same kind."""
        assert (other.labelled, other.capacity) == (self.labelled, self.capacity)
        while len(self._levels) < len(other._levels):
            self._levels.append(_Level())
        for mine, its in zip(self._levels, other._levels, strict=False):
            mine.values += its.values
            mine.labels += its.labels
        self.count += other.count
        self.error += other.error
        self._settle()

    def _settle(self) -> None:
        """Move half of every full level up."""
        for height, level in enumerate(self._levels):
            if level.size < 2 * self.capacity:
                continue
            values = np.concatenate(level.values)
            order = np.argsort(values, kind="stable")
            first, second, rest = _equal_pairs(values[order])
            pairs = [(order[first], order[second], order[first])]  # two, and which of them goes up
            if len(rest) >= self.capacity:
                low, high = order[rest[: len(rest) - 1 : 2]], order[rest[1::2]]
                pairs.append((low, high, high if level.upper else low))
                rest = rest[len(rest) - len(rest) % 2 :]  # an odd one out, the largest, stays
                level.upper = not level.upper
                self.error += 1 << height
            if height + 1 == len(self._levels):
                self._levels.append(_Level())
            above, kept = self._levels[height + 1], order[rest]
            above.values += [values[up] for _, _, up in pairs]
            level.values = [values[kept]]
            if self.labelled:
                labels = np.concatenate(level.labels)
                above.labels += [labels[one] + labels[other] for one, other, _ in pairs]
                level.labels = [labels[kept]]

    def table(self) -> tuple[Array, Array, Array]:
        """What is kept.

        Returns:
            values: (m,) ascending, each once.
            counts: (m,) int64, how many numbers each stands for; their sum is `count`.
            labels: (m, 2) sums of labels and of their squares; (m, 0) without labels.
        """
        parts = [(np.concatenate(level.values), h) for h, level in enumerate(self._levels) if level.values]
        if not parts:
            return np.zeros(0), np.zeros(0, np.int64), np.zeros((0, 2 if self.labelled else 0))
        values, where = np.unique(np.concatenate([part for part, _ in parts]), return_inverse=True)
        each = np.concatenate([np.full(len(part), 1 << h, np.int64) for part, h in parts])
        counts = np.zeros(len(values), np.int64)
        np.add.at(counts, where, each)
        labels = np.zeros((len(values), 2 if self.labelled else 0))
        if self.labelled:
            np.add.at(labels, where, np.concatenate([part for level in self._levels for part in level.labels]))
        return values, counts, labels

    def below(self, numbers: Array) -> Array:
        """(n,) int64: how many numbers lie below each, to within `error`."""
        values, counts, _ = self.table()
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])[np.searchsorted(values, numbers)]

    def edges(self, buckets: int) -> Array:
        """Edges of up to `buckets` buckets with as many numbers each; a number equal to an edge lies above it.

        Edge j of 1 .. buckets - 1 is the least number that has ``count * j / buckets`` numbers below it: a number that
        fills a bucket alone gets one. Edges that are the same are one.
        """
        values, counts, _ = self.table()
        below = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)[:-1]])
        wanted = self.count * np.arange(1, buckets) / buckets
        found = np.searchsorted(below, wanted, side="left")
        return np.unique(values[found[found < len(values)]])

    # ------------------------------------------------------------------------------------------------ state

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """All of it: plain data, and arrays by name."""
        plain = {
            "labelled": self.labelled,
            "capacity": self.capacity,
            "count": self.count,
            "error": self.error,
            "upper": [level.upper for level in self._levels],
        }
        arrays = {}
        for height, level in enumerate(self._levels):
            if level.size:
                arrays[f"values{height}"] = np.concatenate(level.values)
                if self.labelled:
                    arrays[f"labels{height}"] = np.concatenate(level.labels)
        return plain, arrays

    @staticmethod
    def of(plain: Mapping[str, Any], arrays: Mapping[str, Array]) -> Quantiles:
        """The sketch behind a `state`."""
        found = Quantiles(plain["labelled"], plain["capacity"])
        found.count, found.error, found._levels = plain["count"], plain["error"], []
        for height, upper in enumerate(plain["upper"]):
            values, labels = arrays.get(f"values{height}"), arrays.get(f"labels{height}")
            level = _Level([] if values is None else [values], [] if labels is None else [labels], upper)
            found._levels.append(level)
        return found


def _equal_pairs(ordered: Array) -> tuple[Array, Array, Array]:
    """Positions of ascending numbers: of both of each pair of equal ones, and of those that stay alone."""
    starts = np.flatnonzero(np.concatenate([np.ones(1, bool), ordered[1:] != ordered[:-1]]))
    lengths = np.diff(np.append(starts, len(ordered)))
    within = np.arange(len(ordered)) - np.repeat(starts, lengths)
    alone = (within == np.repeat(lengths, lengths) - 1) & (within % 2 == 0)
    first = np.flatnonzero((within % 2 == 0) & ~alone)
    return first, first + 1, np.flatnonzero(alone)
