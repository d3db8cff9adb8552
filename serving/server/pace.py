"""Which work is so short that a thread of its own would not be worth its while."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import TypeVar

from serving.server.recent import Recent

T = TypeVar("T")

SHORT_S = 0.004
"""Seconds of work that is done in the event loop itself; while it is done nothing else is read."""
KINDS = 256
RISE, FALL = 0.2, 0.05
"""How fast longer and shorter work of a kind changes what is expected: a process that had to pause once does not."""


class Pace:
    """What work of each kind took. Its decisions are the event loop's; threads may measure.

    Args:
        clock: Seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
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
            begun = self._clock()
            result = work()
            spent = self._clock() - begun
            known = self._seconds.get(kind)
            if known is not None:
                spent = known + (RISE if spent > known else FALL) * (spent - known)
            self._seconds.put(kind, spent)
            return result

        return run if kind is not None else work
