"""How much of a minute's requests and tokens a user has left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rag.server.refused import Refused
from rag.server.users import User


class _Minute:
    """What fills up over a minute and may be overdrawn."""

    def __init__(self, most: float, now: float) -> None:
        self.most, self.left, self.at = most, most, now

    def filled(self, now: float) -> float:
        self.left = min(self.most, self.left + (now - self.at) * self.most / 60.0)
        self.at = now
        return self.left


class Quotas:
    """Counts by user. Any thread may use it.

    Args:
        now: Seconds, as `time.monotonic` has them.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._lock = now, threading.Lock()
        self._minutes: dict[tuple[str, str], _Minute] = {}

    def take_request(self, user: User) -> None:
        """Count a request.

        Raises:
            Refused: There were too many in the last minute.
        """
        most = user.quota.requests_per_minute
        if most is not None:
            self._take(user, "requests", max(most, 1.0), 1.0, least=1.0)

    def check_tokens(self, user: User) -> None:
        """Look whether the model may be asked once more.

        Raises:
            Refused: The minute's tokens are used.
        """
        most = user.quota.tokens_per_minute
        if most is not None:
            self._take(user, "tokens", most, 0.0, least=1.0)

    def use_tokens(self, user: User, tokens: int) -> None:
        """Count what an answer took; the next ones wait for what it took too many."""
        most = user.quota.tokens_per_minute
        if most is not None:
            with self._lock:
                minute = self._minute(user, "tokens", most)
                minute.left -= tokens

    def _take(self, user: User, what: str, most: float, count: float, least: float) -> None:
        with self._lock:
            minute = self._minute(user, what, most)
            if minute.left < min(least, most):
                wait = (min(least, most) - minute.left) * 60.0 / most
                text = f"the quota of {most:g} {what} a minute is used"
                raise Refused(429, "rate_limit_exceeded", text, retry_after=wait)
            minute.left -= count

    def _minute(self, user: User, what: str, most: float) -> _Minute:
        now = self._now()
        minute = self._minutes.setdefault((user.name, what), _Minute(most, now))
        minute.filled(now)
        return minute
