"""Which work is so short that a thread of its own would not be worth its while."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Hashable
from typing import TypeVar

from serving.server.recent import Recent

if sys.platform == "linux":
    from resource import RUSAGE_THREAD, getrusage

T = TypeVar("T")

SHORT_S = 0.004
"""Seconds of work that is done in the event loop itself; while it is done nothing else is read."""
KINDS = 256
RISE, FALL = 0.2, 0.05
"""How fast longer and shorter work of a kind changes what is expected: a process that had to pause once does not."""


class Stopwatch:
    """How long the work of a thread takes: where other processes had the processor meanwhile, that time does not count."""

    def __init__(self) -> None:
        self._waits, self._spent, self._begun = _waits(), time.thread_time(), time.perf_counter()

    def seconds(self) -> float:
        """Seconds since this was made; without interruptions where the thread waited for nothing."""
        if _waits() == self._waits:
            return time.thread_time() - self._spent
        return time.perf_counter() - self._begun


class Pace:
    """What work of each kind took. Its decisions are the event loop's; threads may measure.

    Args:
        watch: Begins to measure the work of the thread that calls it.
    """

    def __init__(self, watch: Callable[[], Stopwatch] = Stopwatch) -> None:
        self._watch = watch
        self._seconds: Recent[float] = Recent(KINDS)

    def is_short(self, kind: Hashable) -> bool:
        """Whether work should be done in the event loop.

        Args:
            kind: What work of about the same length has in common; None: it is unknown.
        """
        seconds = None if kind is None else self._seconds.get(kind)
        return seconds is not None and seconds <= SHORT_S

    def measured(self, kind: Hashable, work: Callable[[], T]) -> Callable[[], T]:
        """The work, whose time is remembered where it succeeds."""

        def run() -> T:
            watch = self._watch()
            result = work()
            spent = watch.seconds()
            known = self._seconds.get(kind)
            if known is not None:
                spent = known + (RISE if spent > known else FALL) * (spent - known)
            self._seconds.put(kind, spent)
            return result

        return run if kind is not None else work


def _waits() -> int:
    """How often this thread has waited: for a lock, a file, another thread. Elsewhere than on Linux every call differs."""
    if sys.platform == "linux":
        return getrusage(RUSAGE_THREAD).ru_nvcsw
    return time.perf_counter_ns()
