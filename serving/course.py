"""`Course`: how far a call has come."""

from __future__ import annotations

import time
from collections.abc import Callable

from easyrec.errors import DeadlineError


class Course:
    """The time of each stage of a call, and its deadline, which is looked at between them.

    Args:
        deadline_ms: Milliseconds after which the call is given up; None: never.
        now: The clock, in seconds.

    Attributes:
        times: Seconds by stage, in their order.
    """

    def __init__(self, deadline_ms: float | None = None, now: Callable[[], float] = time.perf_counter) -> None:
        self.times: dict[str, float] = {}
        self._now, self._deadline_ms = now, deadline_ms
        self._last = now()
        self._end = None if deadline_ms is None else self._last + deadline_ms / 1000.0

    @property
    def left_s(self) -> float | None:
        """Seconds that are left, not below 0; None: there is no deadline."""
        return None if self._end is None else max(0.0, self._end - self._now())

    def passed(self, stage: str) -> None:
        """Take the time of a stage that has ended.

        Raises:
            DeadlineError: The deadline has passed.
        """
        now = self._now()
        self.times[stage] = self.times.get(stage, 0.0) + now - self._last
        self._last = now
        if self._end is not None and now > self._end:
            raise DeadlineError(f"the deadline of {self._deadline_ms:g} ms passed in the stage '{stage}'", stage)
