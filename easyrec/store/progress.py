"""How far a generation is that is being written, and when its writer last gave a sign.

It lies beside the heads of the store, under a name that no entity has: readers need not look at it, and a head that does not
change costs them nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

from easyrec.errors import StoreError
from easyrec.store.head import Writing
from easyrec.store.online import OnlineStore

BEAT_S = 5.0
"""How often a writer gives a sign, and says which rows it need not write again."""
SILENT_S = 300.0
"""Without a sign for so long a writer is taken for dead: machines' clocks differ, and inputs make writers wait."""


@dataclass(frozen=True)
class Progress:
    """A sign of a writer.

    Attributes:
        generation: What it writes.
        writer: Its machine and process.
        beat: When it gave the sign, seconds since 1970.
        rows: So many rows of the input, the first ones, are written.
    """

    generation: int
    writer: str
    beat: float
    rows: int = 0

    def alive(self, now: float) -> bool:
        """Whether the sign was given not long ago."""
        return now - self.beat <= SILENT_S


def progress_of(store: OnlineStore, entity: str, view: str, writing: Writing) -> Progress:
    """The last sign of the writer of a generation.

    Raises:
        StoreError: The store cannot be reached.
    """
    found = _read(store.read(_place(entity, view), [])[0])
    if found is not None and found.generation == writing.generation:
        return found
    return Progress(writing.generation, "", writing.since)


class Pulse:
    """The signs that a writer gives.

    Args:
        store: Where it writes.
        entity: Whose view.
        view: Its name.
        begun: The first sign.
        clock: Seconds since 1970.
    """

    def __init__(self, store: OnlineStore, entity: str, view: str, begun: Progress, clock: Callable[[], float]) -> None:
        self._store, self._view, self._clock, self.last = store, view, clock, begun
        self._place = _place(entity, view)
        self._text = _text(begun)
        while not store.set_head(self._place, self._text, store.read(self._place, [])[0]):
            pass  # the last sign of the writer before this one

    def beat(self, rows: int) -> None:
        """Give a sign where it is time to.

        Args:
            rows: Rows of the input that are written.

        Raises:
            StoreError: The store cannot be reached, or another writer gives signs.
        """
        self.last = replace(self.last, rows=rows)
        if self._clock() - self.last.beat >= BEAT_S:
            self._sign()

    def stop(self) -> None:
        """Leave word of what is written, where that is still possible."""
        with suppress(StoreError):
            self._sign()

    def _sign(self) -> None:
        self.last = replace(self.last, beat=self._clock())
        new = _text(self.last)
        if not self._store.set_head(self._place, new, self._text) and self._store.read(self._place, [])[0] != new:
            raise StoreError(f"view '{self._view}': another writer has begun after this one: nothing is switched")
        self._text = new


def _place(entity: str, view: str) -> str:
    return f"{entity}.{view}"


def _text(progress: Progress) -> bytes:
    return json.dumps(asdict(progress), separators=(",", ":")).encode()


def _read(text: bytes | None) -> Progress | None:
    try:
        return None if text is None else Progress(**json.loads(text))
    except (ValueError, TypeError):
        return None  # a sign that nobody understands is none
