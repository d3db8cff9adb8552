"""What a day was like: what was shown, what it was worth, and what the best lists would have been worth."""

from __future__ import annotations

from typing import Any

import numpy as np

from easyrec.data.shop.draws import Floats, Ints
from easyrec.simulate.clock import DAY_MS
from easyrec.simulate.policy import Answers
from easyrec.simulate.world import Requests, Responses, World

NEW_DAYS = 3
"""An item younger than this is new."""
COLUMNS = {
    "day": "day",
    "requests": "requests",
    "ctr": "CTR",
    "expected_ctr": "expected CTR",
    "oracle_ctr": "best CTR",
    "regret": "regret",
    "new_share": "new items",
    "coverage": "coverage",
    "diversity": "diversity",
    "buys": "purchases",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "errors": "errors",
    "degraded": "degraded",
}
"""Figures of a day as tables name them."""


class Figures:
    """Sums over the requests of a day.

    Args:
        world: The world.
        day: Which day.
    """

    def __init__(self, world: World, day: int) -> None:
        self.world, self.day = world, day
        self.requests = self.errors = self.degraded = self.shown = self.clicks = self.buys = self.new = self.short = 0
        self.expected = self.oracle = self.diversity = 0.0
        self.lists = 0
        self.slots = 0
        self.latency: list[Floats] = []
        self.seen = np.zeros(len(world.items), dtype=bool)
        self.faults: list[str] = []

    def add(self, requests: Requests, answers: Answers, responses: Responses, expected: Floats, oracle: Floats) -> None:
        """Count a batch.

        Args:
            requests: Who asked.
            answers: What was shown.
            responses: What followed.
            expected: (n,) expected clicks of what was shown.
            oracle: (n,) those of the best lists.
        """
        items = answers.items
        there = items >= 0
        self.requests += len(requests)
        self.slots += items.size
        self.errors += int(answers.failed.sum())
        self.degraded += int(answers.degraded.sum())
        self.short += int((~there.all(axis=1) & ~answers.failed).sum())
        self.faults = list(dict.fromkeys([*self.faults, *answers.faults]))[:5]
        self.shown += int(there.sum())
        self.clicks += int(responses.clicked.sum())
        self.buys += int(responses.bought.sum())
        self.expected += float(expected.sum())
        self.oracle += float(oracle.sum())
        self.latency.append(answers.latency_ms)
        self.seen[items[there]] = True
        age = requests.time[:, None] - self.world.items.birth[items]
        self.new += int((there & (age < NEW_DAYS * DAY_MS)).sum())
        kinds, lists = distinct(np.where(there, self.world.items.cate[items], -1))
        self.diversity += kinds
        self.lists += lists

    def row(self) -> dict[str, Any]:
        """The figures of the day."""
        took = np.concatenate(self.latency) if self.latency else np.zeros(0)
        low, high = np.percentile(took, [50, 99]) if len(took) else (0.0, 0.0)
        live = self.world.items.live(self.world.clock.begin(self.day + 1) - 1)
        shown, slots = max(self.shown, 1), max(self.slots, 1)
        return {
            "day": self.day,
            "requests": self.requests,
            "shown": self.shown,
            "clicks": self.clicks,
            "buys": self.buys,
            # Of the positions that were asked for: an engine that answers nothing must not look better for it.
            "ctr": round(self.clicks / slots, 6),
            "expected_ctr": round(self.expected / slots, 6),
            "oracle_ctr": round(self.oracle / slots, 6),
            "regret": round(1.0 - self.expected / self.oracle, 6) if self.oracle else 0.0,
            "new_share": round(self.new / shown, 6),
            "coverage": round(int(self.seen.sum()) / max(live, 1), 6),
            "diversity": round(self.diversity / max(self.lists, 1), 6),
            "p50_ms": round(float(low), 3),
            "p99_ms": round(float(high), 3),
            "errors": self.errors,
            "degraded": self.degraded,
            "short": self.short,
            **({"faults": self.faults} if self.faults else {}),
        }


def distinct(kinds: Ints) -> tuple[float, int]:
    """Sum over rows (n, k) of the share of different values among those that are not -1, and the rows that have any."""
    order = np.sort(kinds, axis=1)
    new = np.ones(order.shape, dtype=bool)
    new[:, 1:] = order[:, 1:] != order[:, :-1]
    number, there = (new & (order >= 0)).sum(axis=1), (order >= 0).sum(axis=1)
    full = there > 0
    return float((number[full] / there[full]).sum()), int(full.sum())
