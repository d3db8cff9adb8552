"""Where the time of a run goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Stopwatch:
    """Seconds by part; parts do not overlap: what is measured inside another part is taken off that one.

    Args:
        clock: Seconds that never run backwards.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock, self.started = clock, clock()
        self.seconds: dict[str, float] = {}
        self._inner = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the watch was made."""
        return self.clock() - self.started

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure what happens inside."""
        outer, self._inner, start = self._inner, 0.0, self.clock()
        try:
            yield
        finally:
            passed = self.clock() - start
            self._add(name, passed - self._inner)
            self._inner = outer + passed

    def waiting(self, items: Iterable[T], name: str) -> Iterator[T]:
        """The items; the time until each of them is measured."""
        iterator = iter(items)
        while True:
            start = self.clock()
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                passed = self.clock() - start
                self._add(name, passed)
                self._inner += passed
            yield item

    def _add(self, name: str, seconds: float) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
