"""How many calls run at a time, and how many begin in a minute."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

MINUTE = 60.0


class Bucket:
    """So many units a minute: a tenth of them at once, and then as they come in.

    Args:
        per_minute: How many; None: as many as one likes.
        now: Seconds that never run backwards.
    """

    def __init__(self, per_minute: float | None, now: Callable[[], float] = time.monotonic) -> None:
        self.rate = None if per_minute is None else per_minute / MINUTE
        self.room = (per_minute or 0.0) / 10.0
        self._now, self._held, self._at = now, self.room, now()

    def take(self, units: float) -> float:
        """Seconds to wait before `units` may be used; they count as used from now on."""
        if self.rate is None:
            return 0.0
        now = self._now()
        self._held = min(self.room, self._held + (now - self._at) * self.rate)
        self._at = now
        self._held -= units
        # Nobody waits for more than its own share: a call larger than the room begins with a full one.
        return max(0.0, -self._held / self.rate - max(0.0, units - self.room) / self.rate)

    def correct(self, units: float) -> None:
        """So many more, or if negative fewer, were used than was said."""
        self._held -= units


class Throttle:
    """Who may send now.

    Args:
        concurrency: Calls at a time.
        requests_per_minute: None: as many as one likes.
        tokens_per_minute: Likewise.
        now: Seconds that never run backwards.
        wait: Lets so many seconds pass.
    """

    def __init__(
        self,
        concurrency: int,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        now: Callable[[], float] = time.monotonic,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._turns = asyncio.Semaphore(concurrency)
        self._requests, self._tokens = Bucket(requests_per_minute, now), Bucket(tokens_per_minute, now)
        self._now, self._wait = now, wait
        self._closed_until = 0.0

    @asynccontextmanager
    async def turn(self, tokens: int) -> AsyncIterator[None]:
        """Wait for one's turn to send a request of about so many tokens; inside of the block it runs."""
        async with self._turns:
            pause = max(self._requests.take(1.0), self._tokens.take(tokens))
            while (pause := max(pause, self._closed_until - self._now())) > 0.0:
                await self._wait(pause)
                pause = 0.0
            yield

    def used(self, tokens: int, said: int) -> None:
        """A request took so many tokens where so many were said."""
        self._tokens.correct(tokens - said)

    def close_for(self, seconds: float) -> None:
        """The server asks for a pause: nobody sends anything meanwhile."""
        self._closed_until = max(self._closed_until, self._now() + seconds)
