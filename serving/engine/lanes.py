"""`Lane`: a few threads for work that may never end, and a breaker so that no more of it is begun than there are threads."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from easyrec.store.breaker import Breaker

T = TypeVar("T")


class Pending(Generic[T]):
    """Work that was begun.

    Attributes:
        seconds: How long it took, once it has ended.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._work, self._done = work, threading.Event()
        self._result: T | None = None
        self._error: BaseException | None = None
        self.seconds = 0.0
        self.given_up = False

    def run(self) -> None:
        """What a thread does."""
        begun = time.perf_counter()
        try:
            if not self.given_up:
                self._result = self._work()
        except BaseException as error:  # noqa: BLE001 (raised to who waits, if somebody still does)
            self._error = error
        self.seconds = time.perf_counter() - begun
        self._done.set()

    def wait(self, until: float) -> T:
        """What it gives.

        Args:
            until: When it comes too late, by `time.perf_counter`.

        Raises:
            TimeoutError: It has not come in time. What has not begun by then is not begun any more.
        """
        if not self._done.wait(max(0.0, until - time.perf_counter())):
            self.given_up = True
            raise TimeoutError
        if isinstance(self._error, Exception):
            raise self._error
        if self._error is not None:  # what would end a thread does not end who waits for it
            raise RuntimeError(repr(self._error))
        return self._result  # type: ignore[return-value]


class Lane:
    """Threads for one source. They do not keep the process from ending, whatever they wait for.

    Args:
        name: Of the threads.
        threads: How many at most; they are started when they are needed.
        failures: After so many failures in a row nothing is begun for a while.
        pause_s: For how long.
    """

    def __init__(self, name: str, threads: int = 4, failures: int = 5, pause_s: float = 1.0) -> None:
        self._name, self._most = name, threads
        self.breaker = Breaker(failures, pause_s)
        self._queue: queue.SimpleQueue[Pending[Any] | None] = queue.SimpleQueue()
        self._lock, self._started, self._busy = threading.Lock(), 0, 0

    def begin(self, work: Callable[[], T]) -> Pending[T] | None:
        """Begin some work; None where all threads are taken, or it has failed too often lately."""
        if not self.breaker.lets():
            return None
        with self._lock:
            if self._busy >= 2 * self._most:
                return None
            self._busy += 1
            start = self._busy > self._started < self._most
            self._started += start
        if start:
            threading.Thread(target=self._run, name=f"{self._name}-{self._started}", daemon=True).start()
        pending = Pending(work)
        self._queue.put(pending)
        return pending

    def _run(self) -> None:
        while True:
            pending = self._queue.get()
            if pending is None:
                return
            pending.run()
            del pending  # a thread that waits holds nothing of the last request, nor of the models that it saw
            with self._lock:
                self._busy -= 1

    def close(self) -> None:
        """Let the threads end that are idle."""
        for _ in range(self._started):
            self._queue.put(None)
