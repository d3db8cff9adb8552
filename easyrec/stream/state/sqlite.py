"""`sqlite`: a state in one file of SQLite; nothing to install."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Literal

from easyrec.databases import open_file, transaction
from easyrec.errors import StoreError
from easyrec.stream.state import Changes, State, StateConfig

APPLICATION = 0x65617376
"""Marks a file of ours: `PRAGMA application_id`."""
VERSION = 1
TABLES = (
    "CREATE TABLE entries (space TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (space, key)) WITHOUT ROWID",
)
AT_ONCE = 512
"""Keys of a statement; SQLite takes 32,766 values."""
PATIENCE_S = 1.0


class Config(StateConfig):
    """Config of `sqlite`."""

    type: Literal["sqlite"] = "sqlite"
    path: str | None = None
    """The file, on a disk of this machine; it is made where it is not there."""

    def place(self, default: Path) -> Path:
        """See the family's contract."""
        return default.with_name(f"{default.name}.db") if self.path is None else Path(self.path)

    def open(self, default: Path) -> SqliteState:
        """See the family's contract."""
        return SqliteState(self.place(default))


class SqliteState(State):
    """Entries in a file that this process holds for itself.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.shown = str(path)
        with self._told():
            self._db = open_file(path, APPLICATION, VERSION, TABLES, PATIENCE_S)
            try:
                # Two processes that count the same events into one file would count them twice.
                self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
                self._db.execute("PRAGMA synchronous = FULL")
                self._db.execute("PRAGMA cache_size = -65536")
                self._db.execute("BEGIN EXCLUSIVE")
                self._db.execute("COMMIT")
            except BaseException:
                self._db.close()
                raise

    def get(self, space: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """See the family's contract."""
        found: dict[bytes, bytes] = {}
        with self._told():
            for start in range(0, len(keys), AT_ONCE):
                some = keys[start : start + AT_ONCE]
                found.update(self._db.execute(_select(len(some)), (space, *some)))
        return list(map(found.get, keys))

    def scan(
        self, space: str, after: bytes = b"", most: int = 1000, before: bytes | None = None
    ) -> list[tuple[bytes, bytes]]:
        """See the family's contract."""
        stop, bound = ("", ()) if before is None else (" AND key < ?", (before,))
        query = f"SELECT key, value FROM entries WHERE space = ? AND key > ?{stop} ORDER BY key LIMIT ?"  # noqa: S608 (a constant)
        with self._told():
            return self._db.execute(query, (space, after, *bound, most)).fetchall()

    def commit(self, changes: Changes) -> None:
        """See the family's contract."""
        with self._told(), transaction(self._db):
            for space, keys, values in changes:
                put = [(space, key, value) for key, value in zip(keys, values, strict=True) if value]
                gone = [(space, key) for key, value in zip(keys, values, strict=True) if not value]
                put.sort()  # neighbours lie on one page
                self._db.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", put)
                self._db.executemany("DELETE FROM entries WHERE space = ? AND key = ?", gone)

    def close(self) -> None:
        """See the family's contract."""
        self._db.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of the database in words."""
        try:
            yield
        except sqlite3.Error as error:
            text = "another process uses it" if "locked" in str(error) else str(error)
            raise StoreError(f"the state {self.shown} cannot be used: {text}") from error


@lru_cache(AT_ONCE)
def _select(count: int) -> str:
    return f"SELECT key, value FROM entries WHERE space = ? AND key IN ({','.join('?' * count)})"  # noqa: S608 (marks alone)
