"""`memory`: in the memory of the process, filled again from the event log when it starts."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from serving.engine.history import History, HistoryConfig, Past

_Click = tuple[Any, int, float]


class Config(HistoryConfig):
    """Config of `memory`."""

    shared: ClassVar[bool] = False

    type: Literal["memory"] = "memory"
    users: int = Field(200_000, ge=1)
    """How many users; who has not been there for the longest goes first."""


class Memory(History):
    """Queues by user."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._lock = threading.Lock()
        self._users: OrderedDict[str, tuple[deque[_Click], deque[tuple[Any, int]]]] = OrderedDict()

    def past(self, user: str, now: int) -> Past:
        """See the contract."""
        oldest = now - 1000.0 * self.config.keep_s
        with self._lock:
            held = self._users.get(user)
            if held is None:
                return Past()
            clicks = [click for click in held[0] if click[1] >= oldest]
            shown = [one for one in held[1] if one[1] >= oldest]
        return Past(
            [click[0] for click in clicks],
            [click[1] for click in clicks],
            [click[2] for click in clicks],
            [one[0] for one in shown],
            [one[1] for one in shown],
        )

    def add(self, events: Sequence[tuple[str, Any, int, float]]) -> None:
        """See the contract."""
        with self._lock:
            for user, item, time, weight in events:
                clicks = self._held(user)[0]
                clicks.appendleft((item, time, weight))
                if len(clicks) > 1 and clicks[1][1] > time:  # it came late
                    ordered = sorted(clicks, key=lambda click: -click[1])
                    clicks.clear()
                    clicks.extend(ordered)

    def show(self, user: str, items: Sequence[Any], now: int) -> None:
        """See the contract."""
        with self._lock:
            self._held(user)[1].extendleft((item, now) for item in items)

    def _held(self, user: str) -> tuple[deque[_Click], deque[tuple[Any, int]]]:
        held = self._users.get(user)
        if held is None:
            held = self._users[user] = (deque(maxlen=self.config.steps), deque(maxlen=self.config.shown))
            if len(self._users) > self.config.users:
                self._users.popitem(last=False)
        else:
            self._users.move_to_end(user)
        return held
