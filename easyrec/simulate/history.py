"""What users have clicked lately, as far as it tires them."""

from __future__ import annotations

import numpy as np

from easyrec.data.shop.draws import Floats, Ints
from easyrec.simulate.clock import HOUR_MS

DEPTH = 32
"""Clicks of a user that are remembered."""


class History:
    """The latest clicks of every user, in a ring.

    Args:
        users: How many there are.
        depth: Clicks of each that are kept.
    """

    def __init__(self, users: int, depth: int = DEPTH) -> None:
        self.item = np.full((users, depth), -1, dtype=np.int64)
        self.time = np.zeros((users, depth), dtype=np.int64)
        self.count = np.zeros(users, dtype=np.int64)

    def add(self, user: Ints, time: Ints, item: Ints) -> None:
        """Note clicks, each (n,), in order of time."""
        order = np.argsort(user, kind="stable")
        user, time, item = user[order], time[order], item[order]
        nth = np.arange(len(user)) - np.searchsorted(user, user, side="left")
        number = np.bincount(user, minlength=len(self.count))
        place = (self.count[user] + nth) % self.item.shape[1]  # of several for one place the last one stays
        self.item[user, place], self.time[user, place] = item, time
        self.count += number

    def tire(self, logit: Floats, user: Ints, time: Ints, item: Ints, strength: float, hours: float) -> None:
        """Take from logits (n, k) what the user's clicks of the same items take: ``strength * exp(-age / hours)`` each.

        Args:
            logit: Changed in place.
            user: (n,)
            time: (n,)
            item: (n, k), or (1, k) with the ids 0 .. k-1.
            strength: Of a click just now.
            hours: After which the e-th part is left.
        """
        clicked, age = self.item[user], np.maximum(time[:, None] - self.time[user], 0) / HOUR_MS
        loss = np.where(clicked >= 0, strength * np.exp(-age / hours), 0.0)
        if len(item) == 1 and len(user) != 1:
            row, place = np.nonzero((clicked >= 0) & (clicked < logit.shape[1]))
            np.subtract.at(logit, (row, clicked[row, place]), loss[row, place])
        else:
            for step in range(clicked.shape[1]):  # (n, k) at a time: (n, k, depth) would leave the cache
                logit -= np.where(item == clicked[:, step, None], loss[:, step, None], 0.0)

    def state(self) -> dict[str, np.ndarray]:
        """All that is known, to be kept."""
        return {"item": self.item, "time": self.time, "count": self.count}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Know what `state` gave."""
        self.item[:], self.time[:], self.count[:] = state["item"], state["time"], state["count"]
