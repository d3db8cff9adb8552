"""Where blocking work is done: a bounded number of threads, and a bounded queue in front of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from rag.server.refused import Refused

T = TypeVar("T")
BUSY_S = 1.0
"""After which a client that was refused may try again."""


class Places:
    """How many do something at a time; nobody waits for a place. Its methods are called from the event loop alone.

    Args:
        most: Of them.
        what: They do, as it is told.
    """

    def __init__(self, most: int, what: str) -> None:
        self.most, self.what, self.taken = most, what, 0

    def enter(self) -> None:
        """Take a place; whoever has one must `leave`.

        Raises:
            Refused: There is none.
        """
        if self.taken >= self.most:
            raise Refused(429, "busy", f"too many {self.what} at a time: try again later", retry_after=BUSY_S)
        self.taken += 1

    def leave(self) -> None:
        """Give the place back."""
        self.taken -= 1


class Lane:
    """A kind of work. Its methods are called from the event loop alone.

    Args:
        name: For its threads and metrics.
        threads: Pieces of work at a time.
        queue: Those who may wait.
    """

    def __init__(self, name: str, threads: int, queue: int) -> None:
        self.name, self.threads, self.queue = name, threads, queue
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._places = asyncio.Semaphore(threads)
        self.waiting, self.running = 0, 0

    async def enter(self, deadline: float) -> None:
        """Wait for a place; whoever has one must `leave`.

        Args:
            deadline: By `time.monotonic`.

        Raises:
            Refused: Too many wait, or the deadline has passed.
        """
        if self._places.locked() and self.waiting >= self.queue:
            raise Refused(429, "busy", "too many requests wait: try again later", retry_after=BUSY_S)
        self.waiting += 1
        try:
            await asyncio.wait_for(self._places.acquire(), max(0.0, deadline - time.monotonic()))
        except (TimeoutError, asyncio.TimeoutError):
            raise Refused(
                503, "busy", "the deadline passed while the request waited for its turn", retry_after=BUSY_S
            ) from None
        finally:
            self.waiting -= 1
        self.running += 1

    def leave(self) -> None:
        """Give the place back."""
        self.running -= 1
        self._places.release()

    def begin(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Do something in a thread; who calls has a place."""
        return asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def run(self, work: Callable[[], T], seconds: float) -> T:
        """Do something in a thread, and wait for it.

        Raises:
            Refused: Too many wait, or the deadline has passed. A thread cannot be stopped: it keeps its place to the end.
        """
        deadline = time.monotonic() + seconds
        await self.enter(deadline)
        try:
            future = self.begin(work)
        except BaseException:
            self.leave()
            raise
        future.add_done_callback(self._done)
        await asyncio.wait((future,), timeout=max(0.0, deadline - time.monotonic()))
        if not future.done():
            raise Refused(504, "deadline", f"there was no answer within {seconds:g} seconds")
        return future.result()

    def _done(self, future: asyncio.Future[T]) -> None:
        if not future.cancelled():
            future.exception()  # it was raised to the caller, or the caller has gone
        self.leave()

    def close(self) -> None:
        """Begin nothing more; what runs comes to its end."""
        self._pool.shutdown(wait=False, cancel_futures=True)
