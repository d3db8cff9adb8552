"""`SessionGroup`: threads that score requests of one model, beside an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from easyrec.errors import DeadlineError
from serving.course import Course

T = TypeVar("T")


class SessionGroup:
    """N sessions over one model's constants. Each scores a request at a time, on a thread of its own.

    Args:
        sessions: How many.
    """

    def __init__(self, sessions: int) -> None:
        if sessions < 1:
            raise ValueError(f"a group has at least one session, not {sessions}")
        self.sessions = sessions
        self._pool = ThreadPoolExecutor(sessions, thread_name_prefix="session")

    async def run(self, work: Callable[[], T], course: Course) -> T:
        """What `work` returns, once a session was free; waiting counts towards the deadline.

        Work that has not begun when the caller gives up, or when the deadline passes, is never begun.

        Raises:
            DeadlineError: The deadline passed before `work` had ended.
        """

        def session() -> T:
            course.passed("queue")
            return work()

        future = asyncio.get_running_loop().run_in_executor(self._pool, session)
        try:
            return await asyncio.wait_for(future, course.left_s)
        except asyncio.TimeoutError:
            raise DeadlineError("the deadline passed before the request was scored", "session") from None

    def close(self) -> None:
        """Let go of the threads once they have ended what they do."""
        self._pool.shutdown(wait=False, cancel_futures=True)
