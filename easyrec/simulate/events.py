"""Clicks and purchases on their way: each is told when its time has come."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from easyrec.data.shop.draws import Ints
from easyrec.simulate.users import names_of
from easyrec.simulate.world import Requests, Responses

KINDS = ("click", "buy")
"""Types of events, by their `kind`."""


@dataclass(frozen=True)
class Clicks:
    """Events in columns.

    Attributes:
        told: (n,) when they are told, ms since the epoch.
        time: (n,) when they happened.
        number: (n,) of the request.
        user: (n,)
        item: (n,)
        kind: (n,) index into `KINDS`.
        position: (n,) where the item stood.
    """

    told: Ints
    time: Ints
    number: Ints
    user: Ints
    item: Ints
    kind: Ints
    position: Ints

    def __len__(self) -> int:
        return len(self.told)

    def __getitem__(self, rows: Any) -> Clicks:
        return Clicks(*(getattr(self, column.name)[rows] for column in fields(self)))

    @staticmethod
    def none() -> Clicks:
        """No events."""
        return Clicks(*(np.empty(0, dtype=np.int64) for _ in fields(Clicks)))

    @staticmethod
    def joined(*parts: Clicks) -> Clicks:
        """All events of some, in the order in which they are told."""
        whole = Clicks(*(np.concatenate([getattr(p, c.name) for p in parts]) for c in fields(Clicks)))
        return whole[np.lexsort((whole.kind, whole.position, whole.number, whole.told))]

    @staticmethod
    def of(requests: Requests, lists: Ints, responses: Responses) -> Clicks:
        """What followed lists (n, k)."""
        parts = []
        for kind, (happened, time, told) in enumerate(
            (
                (responses.clicked, responses.click_time, responses.click_told),
                (responses.bought, responses.buy_time, responses.buy_told),
            )
        ):
            row, place = np.nonzero(happened)
            columns = (told[row, place], time[row, place], requests.number[row], requests.user[row], lists[row, place])
            parts.append(Clicks(*columns, np.full(len(row), kind), place))
        return Clicks.joined(*parts)

    def rows(self, prefix: str) -> list[dict[str, Any]]:
        """The events as engines take them.

        Args:
            prefix: Of request ids.
        """
        ids = request_ids(prefix, self.number)
        columns = zip(ids, names_of(self.user), self.item.tolist(), self.kind.tolist(), self.time.tolist(), strict=True)
        return [
            {
                "event_id": f"{request}/{item}/{KINDS[kind]}",
                "type": KINDS[kind],
                "request_id": request,
                "user_id": user,
                "item_id": item,
                "time": time,
                "value": 1.0,
            }
            for request, user, item, kind, time in columns
        ]


class Pending:
    """Events that are not told yet."""

    def __init__(self) -> None:
        self.events = Clicks.none()

    def add(self, events: Clicks) -> None:
        """Events to be told in time."""
        self.events = Clicks.joined(self.events, events)

    def due(self, time: int | None = None) -> Clicks:
        """Take out what is to be told up to a time; by default all."""
        number = len(self.events) if time is None else int(np.searchsorted(self.events.told, time, side="right"))
        found, self.events = self.events[:number], self.events[number:]
        return found


def request_ids(prefix: str, number: Ints) -> list[str]:
    """What requests are called."""
    return [f"{prefix}-{one}" for one in number.tolist()]
