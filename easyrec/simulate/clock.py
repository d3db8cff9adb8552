"""The simulated clock: days, hours and weekdays of a time, and when people ask."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import numpy as np

from easyrec.data.shop.behaviour import HOUR_SHARE
from easyrec.data.shop.draws import Draws, Floats, Ints, pick

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
SATURDAY = 5


@dataclass(frozen=True)
class Clock:
    """Times in ms since the epoch, and the days that are counted from `start`."""

    start: int
    """UTC midnight at which day 0 begins."""

    @staticmethod
    def of(start: datetime.date) -> Clock:
        """The clock whose day 0 is a date."""
        return Clock((start - datetime.date(1970, 1, 1)).days * DAY_MS)

    def begin(self, day: int) -> int:
        """When a day begins."""
        return self.start + day * DAY_MS

    def day(self, time: Ints) -> Floats:
        """Days, with fractions, since the start."""
        days: Floats = (time - self.start) / DAY_MS
        return days

    @staticmethod
    def hour(time: Ints) -> Ints:
        """Hour of the day, 0 to 23."""
        return time // HOUR_MS % 24

    @staticmethod
    def weekday(time: Ints) -> Ints:
        """0 Monday to 6 Sunday; the epoch was a Thursday."""
        return (time // DAY_MS + 3) % 7

    def times(self, draws: Draws, day: int, number: int) -> Ints:
        """(number,) ascending: when people ask on a day. On weekends they get up later."""
        u = draws.uniform(number, 2)
        weekend = int(self.weekday(np.array([self.begin(day)]))[0]) >= SATURDAY
        share = np.roll(HOUR_SHARE, 2) if weekend else HOUR_SHARE
        hour = pick(np.cumsum(share), u[:, 0])
        return np.sort(self.begin(day) + hour * HOUR_MS + np.floor(u[:, 1] * HOUR_MS).astype(np.int64))
