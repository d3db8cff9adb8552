"""Which work is so short that a thread of its own would not be worth its while."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from serving.server.recent import Recent

T = TypeVar("T")

SHORT_S = 0.004
"""Seconds of work that is done in the event loop itself; to hand it over costs about 0.1 ms."""
APART_S = 0.001
"""Seconds between two requests of different clients that are not taken for crowding."""
KINDS = 256
FORGET = 0.05
"""How fast longer work of a kind is forgotten; it is remembered at once."""


class Pace:
    """What work of each kind took, and who asked last. Its decisions are the event loop's; threads may measure.

    Args:
        threads: How many there are: with one alone nothing could be done beside.
    """

    def __init__(self, threads: int) -> None:
        self._alone = threads == 1
        self._seconds: Recent[float] = Recent(KINDS)
        self._last: tuple[Any, float] = (None, 0.0)

    def is_short(self, kind: Hashable, client: Any) -> bool:
        """Whether work should be done in the event loop: it is short, and nobody else seems to be waiting.

        Args:
            kind: What work of about the same length has in common; None: it is unknown.
            client: Who asks.
        """
        if kind is None or client is None:
            return False
        seconds = self._seconds.get(kind)
        if seconds is None or seconds > SHORT_S:
            return False
        last, when = self._last
        return self._alone or last == client or time.perf_counter() - when > APART_S

    def measured(self, kind: Hashable, work: Callable[[], T]) -> Callable[[], T]:
        """The work, whose time is remembered where it succeeds."""

        def run() -> T:
            begun = time.perf_counter()
            result = work()
            spent = time.perf_counter() - begun
            known = self._seconds.get(kind)
            self._seconds.put(kind, spent if known is None or spent > known else known + FORGET * (spent - known))
            return result

        return run if kind is not None else work

    def ended(self, client: Any) -> None:
        """Somebody's work has ended."""
        self._last = client, time.perf_counter()
