"""Events that are kept: their rows by number, and which is the latest of a key before a moment. All in flat arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Columns: TypeAlias = dict[str, np.ndarray]

LAZY = 8
"""Rows that are past are let go of where they are more than one in so many."""


class Rows:
    """Rows by number, which count up for ever; old ones are let go of, batch by batch.

    Attributes:
        first: Number of the first row that is kept.
        next: Number that the next row will have.
    """

    def __init__(self, first: int = 0) -> None:
        self.first = self.next = first
        self._starts: list[int] = []
        self._batches: list[pa.RecordBatch] = []

    def add(self, batch: pa.RecordBatch, start: int | None = None) -> np.ndarray:
        """Keep rows, and give their numbers: the next ones, or those from `start` on."""
        start = self.next if start is None else start
        self.next = start
        if batch.num_rows:
            self._starts.append(start)
            self._batches.append(batch)
            self.next += batch.num_rows
        return np.arange(start, self.next)

    def take(self, numbers: np.ndarray) -> pa.Table:
        """Some rows, at least one, in order."""
        which = np.searchsorted(self._starts, numbers, "right") - 1
        own = numbers - np.array(self._starts)[which]
        order = np.argsort(which, kind="stable")
        used, counts = np.unique(which, return_counts=True)
        parts = np.split(own[order], np.cumsum(counts)[:-1])
        batches = [self._batches[int(one)].take(pa.array(part)) for one, part in zip(used, parts, strict=True)]
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return pa.Table.from_batches(batches).take(pa.array(back))

    def forget(self, before: int) -> None:
        """Let go of batches whose rows all have smaller numbers."""
        ends = [*self._starts[1:], self.next]
        past = sum(end <= before for end in ends)
        if past:
            self.first = ends[past - 1]
            del self._starts[:past], self._batches[:past]


class Timeline:
    """Rows in the order of key, time and name, by their numbers.

    Args:
        rows: Where their names are, which are the first column.
        more: Names of further columns, of int64.
    """

    def __init__(self, rows: Rows, more: Sequence[str] = ()) -> None:
        self.rows = rows
        self.columns: Columns = {"key": np.empty(0, np.uint64)}
        self.columns |= {name: np.empty(0, np.int64) for name in ("time", "number", *more)}

    def __len__(self) -> int:
        return len(self.columns["key"])

    def find(self, key: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Places of the latest rows of some keys at or before some times; -1 where there is none.

        Args:
            key: (n,) uint64.
            time: (n,) int64.
        """
        first, behind = self._behind(key, time)
        return np.where(behind > first, behind - 1, -1)

    def add(self, new: Columns) -> None:
        """Add rows: all columns, of one length."""
        order = np.lexsort((new["time"], new["key"]))
        if not len(order):
            return
        new = {name: values[order] for name, values in new.items()}
        at = self._behind(new["key"], new["time"])[1] + np.arange(len(order))
        is_new = np.zeros(len(self) + len(order), bool)
        is_new[at] = True
        for name, values in self.columns.items():
            made = np.empty(len(is_new), values.dtype)
            made[is_new], made[~is_new] = new[name], values
            self.columns[name] = made
        self._order_ties(is_new)

    def forget(self, before: int) -> None:
        """Let go of rows of earlier times, now or later."""
        past = self.columns["time"] < before
        if np.count_nonzero(past) * LAZY > len(past):
            self.columns = {name: values[~past] for name, values in self.columns.items()}

    def _behind(self, key: np.ndarray, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the rows of each key begin, and the place behind the last one that is not later than the time."""
        keys, times = self.columns["key"], self.columns["time"]
        first = np.searchsorted(keys, key, "left")
        low, high = first.copy(), np.searchsorted(keys, key, "right")
        unsure = np.flatnonzero(low < high)
        while len(unsure):
            middle = (low[unsure] + high[unsure]) >> 1
            before = times[middle] <= time[unsure]
            low[unsure[before]] = middle[before] + 1
            high[unsure[~before]] = middle[~before]
            unsure = unsure[low[unsure] < high[unsure]]
        return first, low

    def _order_ties(self, is_new: np.ndarray) -> None:
        """Order rows of one key and time by their names, where new ones are among them."""
        key, time = self.columns["key"], self.columns["time"]
        same = (key[1:] == key[:-1]) & (time[1:] == time[:-1])
        if not same.any():
            return
        group = np.cumsum(np.concatenate([[True], ~same]))
        tied = np.zeros(len(key), bool)
        tied[1:] |= same
        tied[:-1] |= same
        places = np.flatnonzero(tied & np.isin(group, np.unique(group[tied & is_new])))
        if not len(places):
            return
        names = self.rows.take(self.columns["number"][places]).column(0).combine_chunks()
        rank = pc.rank(names, tiebreaker="dense").to_numpy()
        order = places[np.lexsort((rank, group[places]))]
        for values in self.columns.values():
            values[places] = values[order]


class Seen:
    """Prints of events that came, until their times are past."""

    def __init__(self) -> None:
        self._print, self._time = np.empty(0, np.uint64), np.empty(0, np.int64)

    def first(self, prints: np.ndarray, times: np.ndarray) -> np.ndarray:
        """(n,) bool: whether an event came for the first time; it is known from now on.

        Args:
            prints: (n,) uint64.
            times: (n,) int64.
        """
        some, place = np.unique(prints, return_index=True)
        at = np.searchsorted(self._print, some)
        known = np.zeros(len(some), bool)
        inside = at < len(self._print)
        known[inside] = self._print[at[inside]] == some[inside]
        fresh = np.zeros(len(prints), bool)
        fresh[place[~known]] = True
        self._print = np.insert(self._print, at[~known], some[~known])
        self._time = np.insert(self._time, at[~known], times[place[~known]])
        return fresh

    def forget(self, before: int) -> None:
        """Let go of events of earlier times, now or later."""
        past = self._time < before
        if np.count_nonzero(past) * LAZY > len(past):
            self._print, self._time = self._print[~past], self._time[~past]
