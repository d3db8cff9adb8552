"""Ids that were seen, in memory that does not grow."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

_BITS = (1 << 64) - 1


class Known:
    """The ids seen last: at least `most` of them, at most twice as many. Not for several threads at once.

    What is kept of an id is its hash of 64 bits, in a table that has its whole size from the start: a server that runs for long is
    not larger than one that has just begun. Two ids of a million share a hash in one of 10^7 cases. When a table is full, the one
    before it is forgotten.

    Args:
        most: Ids, 1 or more.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._slots = 1 << (2 * most).bit_length()
        self._tables = [self._empty(), self._empty()]
        self._count = 0

    def new(self, ids: Iterable[str]) -> list[int]:
        """Which ids were not seen, as their places; all of them are seen from now on."""
        return [place for place, one in enumerate(ids) if self._enter(one)]

    def _enter(self, one: str) -> bool:
        key = (hash(one) & _BITS) or 1  # 0 is an empty slot
        newer, older = self._tables
        place = self._place(newer, key)
        if newer[place] or older[self._place(older, key)]:
            return False
        newer[place] = key
        self._count += 1
        if self._count == self._most:
            older[:] = self._empty()  # in its place: nothing is given back, nothing new is asked for
            self._tables, self._count = [older, newer], 0
        return True

    def _place(self, table: array[int], key: int) -> int:
        """Where a key stands, or would stand; a table is half empty, so that the way is short."""
        mask = self._slots - 1
        place = key & mask
        while table[place] and table[place] != key:
            place = (place + 1) & mask
        return place

    def _empty(self) -> array[int]:
        return array("Q", bytes(8 * self._slots))
