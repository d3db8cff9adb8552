"""`memory`: a store inside of this process, for tests and small tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from threading import Lock
from typing import Literal

from easyrec.store import native
from easyrec.store.online import OnlineConfig, OnlineStore, Spans, check_fence, intact

_STORES: dict[str, MemoryStore] = {}


class Config(OnlineConfig):
    """Config of `memory`."""

    type: Literal["memory"] = "memory"

    def open(self, project: str) -> OnlineStore:
        """The store of a project; the same at every call in this process."""
        return _STORES.setdefault(project, MemoryStore(project))


class MemoryStore(OnlineStore):
    """Records in dictionaries.

    Args:
        project: Whose.
    """

    def __init__(self, project: str) -> None:
        self.shown = f"memory of project '{project}'"
        self._lock = Lock()
        self._heads: dict[str, bytes] = {}
        self._records: dict[str, dict[bytes, bytes]] = {}
        self._changed: dict[str, dict[bytes, int]] = {}  # keys, the latest changed last, with the number of the change
        self._number = 0

    def read(self, entity: str, keys: Sequence[bytes]) -> tuple[bytes | None, list[bytes | None]]:
        """See the family's contract."""
        with self._lock:
            records = self._records.get(entity, {})
            return self._heads.get(entity), [records.get(key) for key in keys]

    def splice(
        self,
        entity: str,
        slot: int,
        generation: int,
        keys: Sequence[bytes],
        rows: Sequence[bytes],
        keep: Spans,
        fence: bytes = b"",
    ) -> None:
        """See the family's contract."""
        with self._lock:
            check_fence(self.shown, entity, self._heads.get(entity), fence)
            records = self._records.setdefault(entity, {})
            old = [records.get(key) for key in keys]
            with intact(self.shown, entity, keys, old):
                made = native.splice(old, slot, generation, list(rows), list(keep))
            records.update(zip(keys, made, strict=True))
            self._note(entity, keys)

    def set_head(self, entity: str, new: bytes, old: bytes | None) -> bool:
        """See the family's contract."""
        with self._lock:
            if self._heads.get(entity) != old:
                return False
            self._heads[entity] = new
            return True

    def scan(self, entity: str, at_once: int = 1000) -> Iterator[list[tuple[bytes, bytes]]]:
        """See the family's contract."""
        with self._lock:
            found = list(self._records.get(entity, {}).items())
        for start in range(0, len(found), at_once):
            yield found[start : start + at_once]

    def sweep(self, entity: str, keys: Sequence[bytes], live: Spans) -> None:
        """See the family's contract."""
        with self._lock:
            records = self._records.get(entity, {})
            there = [key for key in keys if key in records]
            old = [records[key] for key in there]
            with intact(self.shown, entity, there, old):
                made = native.sweep(old, list(live))
            for key, left in zip(there, made, strict=True):
                if left:
                    records[key] = left
                else:
                    del records[key]
            self._note(entity, there)

    def _note(self, entity: str, keys: Sequence[bytes]) -> None:
        self._number += 1
        changed = self._changed.setdefault(entity, {})
        for key in keys:
            changed.pop(key, None)
            changed[key] = self._number

    def changes(self, entity: str, since: bytes | None) -> tuple[bytes, list[bytes] | None]:
        """See the family's contract."""
        with self._lock:
            mark = b"%d" % self._number
            if since is None or int(since) > self._number:
                return mark, None
            known = int(since)
            latest_first = reversed(self._changed.get(entity, {}).items())
            return mark, [key for key, _ in takewhile(lambda item: item[1] > known, latest_first)]

    def close(self) -> None:
        """Nothing is open."""
