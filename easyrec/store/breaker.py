"""`Breaker`: a store that does not answer is not asked by every request."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock


class Breaker:
    """Opens after failures in a row; from then on one read at a time may try, a pause apart, until one succeeds.

    Args:
        failures: How many.
        pause_s: Seconds between tries.
        now: The clock, in seconds.

    Attributes:
        opened: How often it was.
    """

    def __init__(self, failures: int = 5, pause_s: float = 1.0, now: Callable[[], float] = time.monotonic) -> None:
        self.failures, self.pause_s, self._now = failures, pause_s, now
        self._lock, self._failed, self._next, self.opened = Lock(), 0, 0.0, 0

    @property
    def is_open(self) -> bool:
        """Whether reads are refused."""
        return self._failed >= self.failures

    def lets(self) -> bool:
        """Whether a read may be made now."""
        if self._failed < self.failures:
            return True
        with self._lock:
            now = self._now()
            if now < self._next:
                return False
            self._next = now + self.pause_s  # this one tries
            return True

    def succeeded(self) -> None:
        """Take note of a read that came in time."""
        if self._failed:
            with self._lock:
                self._failed = 0

    def failed(self) -> None:
        """Take note of one that did not."""
        with self._lock:
            self._failed += 1
            if self._failed == self.failures:
                self.opened += 1
            if self._failed >= self.failures:
                self._next = self._now() + self.pause_s
