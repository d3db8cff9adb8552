"""How new what was written row by row is, beside the heads of the store.

A head changes only where another generation is read: readers let go of what they hold then. So the time of the newest row
that was written since lies under a name that no entity has, and is told now and then.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress

from easyrec.errors import StoreError
from easyrec.store.head import Head, recent
from easyrec.store.online import OnlineStore

TOLD_S = 5.0
"""How often a writer tells it."""
TRIES = 20


def place_of(entity: str) -> str:
    """Where it lies, as heads do."""
    return f"{entity} written"


def parsed(text: bytes | None) -> dict[str, tuple[int, int]]:
    """Generation and latest event time of what was written, by view; a text that nobody understands says nothing."""
    try:
        return {} if text is None else {name: (int(one[0]), int(one[1])) for name, one in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError, LookupError):
        return {}


def newest(head: Head, view: str, written: Mapping[str, tuple[int, int]]) -> int | None:
    """Latest event time of what is read of a view, microseconds since 1970; None: its rows have no times.

    Args:
        head: Of its entity.
        view: Its name.
        written: What was written of views of this entity.
    """
    known, own = head.views.get(view), written.get(view)
    times = [] if known is None or known.live is None or known.live.newest is None else [known.live.newest]
    place = head.views.get(recent(view), known)
    if own is not None and place is not None and place.live is not None and place.live.generations[-1] == own[0]:
        times.append(own[1])
    return max(times, default=None)


class Freshness:
    """What a writer tells of the rows that it writes.

    Args:
        store: Where it writes.
        clock: Seconds since 1970.
    """

    def __init__(self, store: OnlineStore, clock: Callable[[], float]) -> None:
        self._store, self._clock = store, clock
        self._told: dict[str, float] = {}
        self._due: dict[str, dict[str, tuple[int, int]]] = {}

    def wrote(self, entity: str, view: str, generation: int, latest: int) -> None:
        """Rows were written; it is told at once for the first time, and then every `TOLD_S`."""
        due = self._due.setdefault(entity, {})
        due[view] = max(due.get(view, (generation, latest)), (generation, latest))
        if self._clock() - self._told.get(entity, float("-inf")) >= TOLD_S:
            self.tell(entity)

    def tell(self, entity: str) -> None:
        """Tell what is due, where the store takes it."""
        due = self._due.pop(entity, {})
        if not due:
            return
        self._told[entity] = self._clock()
        with suppress(StoreError):  # rows are what counts
            for _ in range(TRIES):
                old = self._store.read(place_of(entity), [])[0]
                known = parsed(old)
                made = {**known, **{view: max(one, known.get(view, one)) for view, one in due.items()}}
                text = json.dumps(made, separators=(",", ":")).encode()
                if text == old or self._store.set_head(place_of(entity), text, old):
                    return
