"""`Timings`: how often something was done and how long it took, in little room."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

BOUNDS = tuple(
    round(base * 10.0**power, 9) for power in range(-5, 1) for base in (1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 6.3, 8)
)
"""Seconds, from 10 us to 8 s, a quarter apart: a percentile is told as finely."""
WINDOW_S = 60
"""Over which the rate is told."""


@dataclass(frozen=True)
class Times:
    """What was timed.

    Attributes:
        count: How often.
        seconds: All together.
        rate: Times a second, of the last minute.
        p50_ms: Half took no longer.
        p95_ms: Of a hundred, 95 took no longer.
        p99_ms: Of a hundred, 99 took no longer.
    """

    count: int = 0
    seconds: float = 0.0
    rate: float = 0.0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0


class Timings:
    """Safe to use from several threads.

    Args:
        now: The clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._lock, self._since = now, Lock(), now()
        self._counts = [0] * (len(BOUNDS) + 1)
        self._seconds = 0.0
        self._lately = [[-1, 0] for _ in range(WINDOW_S + 1)]  # by second: which, and how often

    def add(self, seconds: float) -> None:
        """Take note of a time."""
        second = int(self._now())
        with self._lock:
            self._counts[bisect_left(BOUNDS, seconds)] += 1
            self._seconds += seconds
            slot = self._lately[second % len(self._lately)]
            if slot[0] != second:
                slot[:] = [second, 0]
            slot[1] += 1

    def buckets(self) -> list[int]:
        """How many took no longer than each of `BOUNDS` but longer than the one before; the last: longer than all."""
        with self._lock:
            return list(self._counts)

    @property
    def times(self) -> Times:
        """What was noted until now."""
        with self._lock:
            counts, seconds, now = list(self._counts), self._seconds, int(self._now())
            # Of whole seconds that have gone by: the one that runs would make it look slow.
            lately = sum(count for second, count in self._lately if now - WINDOW_S <= second < now)
        window = min(WINDOW_S, now - int(self._since))
        shares = [1000.0 * _quantile(counts, share) for share in (0.5, 0.95, 0.99)]
        return Times(sum(counts), seconds, lately / window if window else 0.0, *shares)


def _quantile(counts: list[int], share: float) -> float:
    """Seconds that a share of the times did not exceed: the bound above them."""
    wanted, seen = share * sum(counts), 0
    if not wanted:
        return 0.0
    for bound, count in zip((*BOUNDS, BOUNDS[-1]), counts, strict=True):
        seen += count
        if seen >= wanted:
            return bound
    return BOUNDS[-1]
