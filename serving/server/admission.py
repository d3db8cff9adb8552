"""Who may be scored now: a bounded queue in front of a bounded number of threads, and a deadline for each request."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from serving.server.http import Refused
from serving.server.pace import Pace

T = TypeVar("T")

RETRY_AFTER = 1
"""Seconds that a client is told to wait; a queue is far shorter than that."""


class Admission:
    """The queue and the threads of one process. Its methods are called from the event loop alone.

    Args:
        threads: Requests that are scored at a time.
        queue: Requests that may wait.

    Attributes:
        open: Whether requests are taken; not while models are loaded, nor while the server drains.
        why: What clients are told while it is not.
    """

    def __init__(self, threads: int, queue: int) -> None:
        self.threads, self.queue = threads, queue
        self.open, self.why = False, "starting"
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="score")
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._free, self._pace = threads, Pace(threads)

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return sum(not one.done() for one in self._waiting)

    @property
    def running(self) -> int:
        """Requests that are being scored."""
        return self.threads - self._free

    def check(self) -> None:
        """Refuse a request that could not even wait; before its body is read.

        Raises:
            Refused: 503 while starting or draining, 429 where the queue is full.
        """
        if not self.open:
            raise Refused(503, self.why, f"the server is {self.why}", retry_after=RETRY_AFTER, close=True)
        if not self._free and self.waiting >= self.queue:
            raise Refused(429, "queue", f"{self.waiting} requests are waiting", retry_after=RETRY_AFTER)

    async def run(
        self, work: Callable[[], T], deadline: float, kind: Hashable = None, client: Any = None
    ) -> tuple[T, float]:
        """Run `work` in a thread, when it is its turn; or here, where work of this kind is short and nobody waits.

        Args:
            work: What to do.
            deadline: When the request is given up, by `time.perf_counter`. Work that has begun goes on to its end.
            kind: What work of about the same length has in common; None: it always has a thread.
            client: Who asks.

        Returns:
            What `work` returns, and the seconds that it waited.

        Raises:
            Refused: The queue is full, or the deadline has passed.
        """
        work = self._pace.measured(kind, work)
        if self._free == self.threads and self._pace.is_short(kind, client):
            return self._here(work, deadline, client), 0.0
        begun = time.perf_counter()
        await self._turn(deadline)
        waited = time.perf_counter() - begun
        try:
            future = asyncio.get_running_loop().run_in_executor(self.pool, work)
        except BaseException:
            self._next()
            raise
        future.add_done_callback(self._done)
        await asyncio.wait((future,), timeout=max(0.0, deadline - time.perf_counter()))
        self._pace.ended(client)
        if not future.done():
            raise late("score")
        return future.result(), waited

    def _here(self, work: Callable[[], T], deadline: float, client: Any) -> T:
        self._free -= 1
        try:
            result = work()
        finally:
            self._next()
            self._pace.ended(client)
        if time.perf_counter() > deadline:
            raise late("score")
        return result

    async def _turn(self, deadline: float) -> None:
        if self._free:
            self._free -= 1
            return
        self.check()
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await asyncio.wait((turn,), timeout=max(0.0, deadline - time.perf_counter()))
        except BaseException:  # the client has gone: whoever is next may have the turn
            if turn.done():
                self._next()
            turn.cancel()
            raise
        if not turn.done():
            turn.cancel()
            raise late("queue")

    def _done(self, future: asyncio.Future[T]) -> None:
        if not future.cancelled():
            future.exception()  # it was raised to the caller, or the caller has gone
        self._next()

    def _next(self) -> None:
        """Hand the thread on."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    async def drained(self, timeout_s: float) -> bool:
        """Whether all that run and wait came to an end in time."""
        end = time.perf_counter() + timeout_s
        while self.running or self.waiting:
            if time.perf_counter() > end:
                return False
            await asyncio.sleep(0.01)
        return True


def late(stage: str) -> Refused:
    """What is answered when a deadline has passed: in the `queue`, or while a request had its `score` computed."""
    told = "waiting for its turn" if stage == "queue" else "being scored"
    return Refused(504, f"deadline_{stage}", f"the deadline passed while the request was {told}")
