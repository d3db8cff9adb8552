"""How far event time has come: what is older than the watermark comes no more, or is late."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

BEGIN = -(1 << 62)
"""The watermark before any event."""


class Watermarks:
    """The watermark of each partition, and of all of them.

    A partition's watermark is the latest event time met in it less the lateness. An event is late where its own
    partition's watermark was beyond it when it came, so that it does not depend on how partitions are mixed, nor on how
    many events are taken at once.

    Args:
        lateness: Microseconds.
        idle: Seconds after which a partition without events holds up the others no more.
        newest: Latest event time by partition, from an earlier run.
    """

    def __init__(self, lateness: int, idle: float, newest: Mapping[str, int] | None = None) -> None:
        self.lateness, self.idle = lateness, idle
        self.newest = dict(newest or {})
        self._heard: dict[str, float] = {}

    def late(self, partition: str, times: np.ndarray, now: float) -> np.ndarray:
        """Which events of a partition are late; those that are not move its watermark.

        Args:
            partition: Its name.
            times: (rows,) int64: event times in microseconds, in the order in which they came.
            now: Seconds that never run backwards.
        """
        self._heard[partition] = now
        if not len(times):
            return np.zeros(0, bool)
        before = self.newest.get(partition, BEGIN)
        newest = np.maximum.accumulate(np.concatenate([[before], times]))
        self.newest[partition] = int(newest[-1])
        late: np.ndarray = times < newest[:-1] - self.lateness
        return late

    def current(self, partitions: Iterable[str], now: float) -> int:
        """The watermark of all partitions: no event before it will count any more.

        A partition that has had no event yet, or none for long, does not hold it up: what it brings is not late, but
        comes after what was made without it.

        Args:
            partitions: Their names.
            now: Seconds that never run backwards.
        """
        found = []
        for name in partitions:
            heard = self._heard.setdefault(name, now)
            if now - heard < self.idle or self.idle == 0:
                found.append(self.newest.get(name, BEGIN))
        newest = min(found) if found else max(self.newest.values(), default=BEGIN)
        return max(newest - self.lateness, BEGIN)
