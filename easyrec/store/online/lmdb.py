"""`lmdb`: a store in a memory-mapped file, for the processes of one machine; the fastest to write."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, takewhile
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from pydantic import Field

from easyrec.errors import MissingExtra, StoreError
from easyrec.store import journal, native
from easyrec.store.online import OnlineConfig, OnlineStore, Spans, check_fence, intact

LONGEST_KEY = 440
"""Bytes of a key: LMDB takes 511, of which the names of project and entity have a part."""
_OPEN: dict[tuple[int, Path], Any] = {}
"""By process: a fork may not use what was opened before it."""
_LOCK = Lock()


class Config(OnlineConfig):
    """Config of `lmdb`."""

    type: Literal["lmdb"] = "lmdb"
    path: str
    """The folder, on a disk of this machine; it is made where it is not there."""
    gigabytes: float = Field(64.0, gt=0.0)
    """How large the file may become; it takes what it holds."""

    def open(self, project: str) -> OnlineStore:
        """See the family's contract."""
        return LmdbStore(Path(self.path), project, self.gigabytes)


class LmdbStore(OnlineStore):
    """Records in an environment of LMDB.

    Args:
        path: The folder.
        project: Whose.
        gigabytes: How large the file may become.
    """

    def __init__(self, path: Path, project: str, gigabytes: float = 64.0) -> None:
        try:
            import lmdb  # noqa: PLC0415 (an extra)
        except ModuleNotFoundError:
            raise MissingExtra("lmdb", "lmdb") from None
        self.shown, self.project, self.lmdb = str(path), project, lmdb
        with self._told():
            path.mkdir(parents=True, exist_ok=True)
            place = os.getpid(), path.resolve()
            with _LOCK:  # a process opens an environment once
                if place not in _OPEN:
                    _OPEN[place] = lmdb.open(
                        str(place[1]), map_size=int(gigabytes * 2**30), max_readers=1024, metasync=False
                    )
                self._env = _OPEN[place]

    def read(self, entity: str, keys: Sequence[bytes]) -> tuple[bytes | None, list[bytes | None]]:
        """See the family's contract."""
        space = self._space(entity)
        with self._told(), self._env.begin() as reading:
            get = reading.get
            return get(b"h" + space), [get(b"r" + space + key) for key in keys]

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
        self._change(entity, keys, lambda old: native.splice(old, slot, generation, list(rows), list(keep)), fence)

    def sweep(self, entity: str, keys: Sequence[bytes], live: Spans) -> None:
        """See the family's contract."""
        self._change(entity, keys, lambda old: native.sweep(old, list(live)))

    def _change(
        self,
        entity: str,
        keys: Sequence[bytes],
        change: Callable[[list[bytes | None]], list[bytes]],
        fence: bytes = b"",
    ) -> None:
        space = b"r" + self._space(entity)
        longest = max(map(len, keys), default=0)
        if longest > LONGEST_KEY:
            raise StoreError(f"{self.shown} takes keys of at most {LONGEST_KEY} bytes, but one has {longest}")
        with self._told(), self._env.begin(write=True) as writing:
            if fence:
                check_fence(self.shown, entity, writing.get(b"h" + space[1:]), fence)
            places = [space + key for key in keys]
            old = [writing.get(place) for place in places]
            with intact(self.shown, entity, keys, old):
                made = change(old)
            for place, new in zip(places, made, strict=True):
                if new:
                    writing.put(place, new)
                else:
                    writing.delete(place)
            self._note(writing, self._space(entity), keys)

    def _note(self, writing: Any, space: bytes, keys: Sequence[bytes]) -> None:
        """Write down which keys are being changed, and forget what was changed long ago."""
        if not keys:
            return
        journaled = b"c" + space
        cursor = writing.cursor()
        number = _latest(cursor, journaled) + 1
        writing.put(journaled + number.to_bytes(8, "big"), journal.packed(keys))
        until = journaled + max(0, number - journal.entries_kept(len(keys))).to_bytes(8, "big")
        while cursor.set_range(journaled) and cursor.key() <= until:
            cursor.delete()

    def changes(self, entity: str, since: bytes | None) -> tuple[bytes, list[bytes] | None]:
        """See the family's contract."""
        journaled = b"c" + self._space(entity)
        with self._told(), self._env.begin() as reading:
            cursor = reading.cursor()
            last = _latest(cursor, journaled)
            mark = b"%d" % last
            if since is None or int(since) > last:  # the file was put back to a former state
                return mark, None
            if int(since) == last:
                return mark, []
            after = journaled + (int(since) + 1).to_bytes(8, "big")
            if not cursor.set_range(after) or cursor.key() != after:
                return mark, None
            entries = takewhile(lambda item: item[0].startswith(journaled), cursor)
            return mark, [key for _, entry in entries for key in journal.unpacked(entry)]

    def set_head(self, entity: str, new: bytes, old: bytes | None) -> bool:
        """See the family's contract."""
        place = b"h" + self._space(entity)
        with self._told():
            with self._env.begin(write=True) as writing:
                if writing.get(place) != old:
                    return False
                writing.put(place, new)
            self._env.sync(True)
            return True

    def scan(self, entity: str, at_once: int = 1000) -> Iterator[list[tuple[bytes, bytes]]]:
        """See the family's contract."""
        space = b"r" + self._space(entity)
        start = space
        while True:
            with self._told(), self._env.begin() as reading:
                cursor = reading.cursor()
                some = islice(cursor, at_once) if cursor.set_range(start) else ()
                found = [(place, record) for place, record in some if place.startswith(space)]
            if not found:
                return
            yield [(place[len(space) :], record) for place, record in found]
            start = found[-1][0] + b"\0"

    def close(self) -> None:
        """The environment stays open for others of this process."""

    def _space(self, entity: str) -> bytes:
        """Project and entity, which hold no zero byte."""
        return f"{self.project}\0{entity}\0".encode()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of the database in words."""
        try:
            yield
        except self.lmdb.MapFullError:
            raise StoreError(f"{self.shown} is full: set 'gigabytes' higher") from None
        except (self.lmdb.Error, OSError) as error:
            raise StoreError(f"{self.shown} cannot be used: {error}") from error


def _latest(cursor: Any, journaled: bytes) -> int:
    """The number of the last entry of a journal; 0: there is none."""
    there = cursor.prev() if cursor.set_range(journaled + b"\xff" * 9) else cursor.last()
    key = cursor.key() if there else b""
    return int.from_bytes(key[len(journaled) :], "big") if key.startswith(journaled) else 0
