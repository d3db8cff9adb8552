"""Who may be scored now: a bounded queue in front of the event loop and of a bounded number of threads, and deadlines."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from serving.server.http import Refused
from serving.server.pace import Pace

T = TypeVar("T")

RETRY_AFTER = 1
"""Seconds that a client is told to wait; a queue is far shorter than that."""


class Line:
    """Those who wait for one of some places.

    Args:
        places: How many there are.

    Attributes:
        free: Places that nobody has.
    """

    def __init__(self, places: int) -> None:
        self.places, self.free = places, places
        self._turns: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """Those who wait."""
        return sum(not turn.done() for turn in self._turns)

    @property
    def taken(self) -> int:
        """Places that somebody has."""
        return self.places - self.free

    async def wait(self, deadline: float) -> None:
        """Wait for a place.

        Raises:
            Refused: The deadline has passed.
        """
        turn = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        try:
            await asyncio.wait((turn,), timeout=max(0.0, deadline - time.perf_counter()))
        except BaseException:  # the client has gone: whoever is next may have the turn
            if turn.done():
                self.next()
            turn.cancel()
            raise
        if not turn.done():
            turn.cancel()
            raise late("queue")

    def next(self) -> None:
        """Hand a place on."""
        while self._turns:
            turn = self._turns.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.free += 1


class Admission:
    """The queue of one process, and where work is done. Its methods are called from the event loop alone.

    Short work is done in the event loop: threads that hold Python's lock in turns would take longer for the same. Between
    two pieces of it the loop reads what has come, so that requests wait here, where they are counted and may be refused,
    and not in their sockets.

    Args:
        threads: Pieces of longer work that are done at a time.
        queue: Requests that may wait.

    Attributes:
        open: Whether requests are taken; not while models are loaded, nor while the server drains.
        why: What clients are told while it is not.
    """

    def __init__(self, threads: int, queue: int) -> None:
        self.queue = queue
        self.open, self.why = False, "starting"
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="score")
        self._here, self._threads, self._pace = Line(1), Line(threads), Pace()

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return self._here.waiting + self._threads.waiting

    @property
    def running(self) -> int:
        """Requests that are being scored."""
        return self._here.taken + self._threads.taken

    def check(self) -> None:
        """Refuse a request that could not even wait; before its body is read.

        Raises:
            Refused: 503 while starting or draining, 429 where the queue is full.
        """
        if not self.open:
            raise Refused(503, self.why, f"the server is {self.why}", retry_after=RETRY_AFTER, close=True)
        if not (self._here.free and self._threads.free) and self.waiting >= self.queue:
            raise Refused(429, "queue", f"{self.waiting} requests are waiting", retry_after=RETRY_AFTER)

    async def run(self, work: Callable[[], T], deadline: float, kind: Hashable = None) -> tuple[T, float]:
        """Do some work when it is its turn: here, where work of this kind is short, else in a thread.

        Args:
            work: What to do.
            deadline: When the request is given up, by `time.perf_counter`. Work that has begun goes on to its end.
            kind: What work of about the same length has in common; None: it always has a thread.

        Returns:
            What `work` returns, and the seconds that it waited.

        Raises:
            Refused: The queue is full, or the deadline has passed.
        """
        short = self._pace.is_short(kind)
        work = self._pace.measured(kind, work)
        line = self._here if short else self._threads
        waited = 0.0
        if line.free:
            line.free -= 1
        else:
            self.check()
            begun = time.perf_counter()
            await line.wait(deadline)
            waited = time.perf_counter() - begun
        return (self._in_loop(work, deadline) if short else await self._in_thread(work, deadline)), waited

    def _in_loop(self, work: Callable[[], T], deadline: float) -> T:
        try:
            result = work()
        finally:
            asyncio.get_running_loop().call_soon(self._here.next)  # only once the loop has read what has come
        if time.perf_counter() > deadline:
            raise late("score")
        return result

    async def _in_thread(self, work: Callable[[], T], deadline: float) -> T:
        try:
            future = asyncio.get_running_loop().run_in_executor(self.pool, work)
        except BaseException:
            self._threads.next()
            raise
        future.add_done_callback(self._done)
        await asyncio.wait((future,), timeout=max(0.0, deadline - time.perf_counter()))
        if not future.done():
            raise late("score")
        return future.result()

    def _done(self, future: asyncio.Future[T]) -> None:
        if not future.cancelled():
            future.exception()  # it was raised to the caller, or the caller has gone
        self._threads.next()

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
