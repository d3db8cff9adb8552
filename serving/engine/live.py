"""`Live`: what is counted of items while requests are answered: exposures, clicks, and how popular that makes them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from serving.engine.rows import Floats, Ints, Rows

SKEW_MS = 60_000
"""By which clients' clocks may be ahead."""


def wall_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Decayed:
    """Sums of which what is `half_life_s` old counts half, by event time.

    What comes at time t is added times ``2 ** ((t - t0) / half_life)``: nothing has to be touched as time goes on.

    Args:
        half_life_s: The half-life.
        rows: How many items there are.
    """

    def __init__(self, half_life_s: float, rows: int) -> None:
        self.half_life_ms, self.start = 1000.0 * half_life_s, 0
        self.sums: Floats = np.zeros(rows)

    def add(self, row: int, at: int, weight: float) -> None:
        """Count something of a time."""
        self.start = self.start or at
        exponent = (at - self.start) / self.half_life_ms
        if exponent > 500.0:
            self.sums *= 2.0**-exponent
            self.start, exponent = at, 0.0
        self.sums[row] += weight * 2.0 ** max(exponent, -500.0)

    def at(self, time: int) -> Floats:
        """The sums as they are at a time."""
        scale = 2.0 ** max(-1000.0, min(500.0, (self.start - time) / self.half_life_ms))
        found: Floats = self.sums * scale
        return found


class Live:
    """Counts by item, in this process.

    What a client with a wrong clock says of the future counts as of now: it would make all that others did old at once.

    Args:
        rows: The catalogue.
        now: Milliseconds since 1970.

    Attributes:
        shown: (N,) how often each item was shown.
        taken: (N,) how often it was clicked, or the like.
        newest: The latest event time, in milliseconds since 1970.
        changes: Grows with everything that is counted.
    """

    def __init__(self, rows: Rows, now: Callable[[], int] = wall_ms) -> None:
        self._lock, self._rows, self._now = threading.Lock(), rows, now
        self.shown: Floats = np.zeros(len(rows))
        self.taken: Floats = np.zeros(len(rows))
        self._decayed: dict[float, Decayed] = {}
        self.newest, self.changes = 0, 0

    def decayed(self, half_life_s: float) -> Decayed:
        """How popular items are, by half-life; counted from the first time that it is asked for."""
        with self._lock:
            if half_life_s not in self._decayed:
                self._decayed[half_life_s] = Decayed(half_life_s, len(self._rows))
            return self._decayed[half_life_s]

    def show(self, items: Ints, of: Rows) -> None:
        """Count items that were shown, each once; `of` is the catalogue whose numbers these are."""
        with self._lock:
            if of is not self._rows:
                items = self._rows.find(of.keys_of(items))
                items = items[items >= 0]
            self.shown[items] += 1.0
            self.changes += 1

    def take(self, keys: Sequence[str | int], times: Sequence[int], weights: Sequence[float]) -> None:
        """Count clicks and the like."""
        latest = self._now() + SKEW_MS
        with self._lock:
            for row, told, weight in zip(self._rows.find(keys).tolist(), times, weights, strict=True):
                at = min(told, latest)
                self.newest = max(self.newest, at)
                if row >= 0:
                    self.taken[row] += 1.0
                    for one in self._decayed.values():
                        one.add(row, at, weight)
            self.changes += 1

    def counts(self, items: Ints, of: Rows) -> tuple[Floats, Floats]:
        """How often items were shown and taken; `of` is the catalogue whose numbers these are."""
        with self._lock:
            if of is not self._rows:
                return np.zeros(len(items)), np.zeros(len(items))
            return self.shown[items], self.taken[items]

    def move(self, rows: Rows) -> None:
        """Count on over another catalogue; items that are in both keep what was counted."""
        with self._lock:
            places = self._rows.find(rows.keys)
            known = places >= 0

            def moved(values: Floats) -> Floats:
                found = np.zeros(len(rows))
                found[known] = values[places[known]]
                return found

            self.shown, self.taken = moved(self.shown), moved(self.taken)
            for one in self._decayed.values():
                one.sums = moved(one.sums)
            self._rows = rows
            self.changes += 1
