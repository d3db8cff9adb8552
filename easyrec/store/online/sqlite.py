"""`sqlite`: a store in one file, for the processes of one machine; nothing to install."""

# ruff: noqa: S608 (statements are made of this file's constants; values are bound)

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Lock, local
from typing import Literal

from pydantic import Field

from easyrec.databases import open_file, transaction
from easyrec.errors import StoreError
from easyrec.store import journal, native
from easyrec.store.online import OnlineConfig, OnlineStore, Spans, check_fence, intact

APPLICATION = 0x65617374
"""Marks a file of ours: `PRAGMA application_id`."""
VERSION = 2
TABLES = (
    "CREATE TABLE heads (project TEXT NOT NULL, entity TEXT NOT NULL, head BLOB NOT NULL, "
    "PRIMARY KEY (project, entity)) WITHOUT ROWID",
    "CREATE TABLE spaces (id INTEGER PRIMARY KEY, project TEXT NOT NULL, entity TEXT NOT NULL, UNIQUE (project, entity))",
    "CREATE TABLE records (space INTEGER NOT NULL, key BLOB NOT NULL, record BLOB NOT NULL, "
    "PRIMARY KEY (space, key)) WITHOUT ROWID",
    "CREATE TABLE changes (number INTEGER PRIMARY KEY AUTOINCREMENT, space INTEGER NOT NULL, keys BLOB NOT NULL)",
)
SCAN = "SELECT key, record FROM records WHERE space = ? AND key >= ? ORDER BY key LIMIT ?"
AT_ONCE = 512
"""Keys of a statement; SQLite takes 32,766 values."""
MAPPED = 1 << 34
"""Bytes of the file that are mapped into memory."""


class Config(OnlineConfig):
    """Config of `sqlite`."""

    type: Literal["sqlite"] = "sqlite"
    path: str
    """The file, on a disk of this machine; it is made where it is not there."""
    patience_seconds: float = Field(30.0, gt=0.0)
    """How long to wait for other processes that write."""

    def open(self, project: str) -> OnlineStore:
        """See the family's contract."""
        return SqliteStore(Path(self.path), project, self.patience_seconds)


class SqliteStore(OnlineStore):
    """Records in a file of SQLite; each thread has a connection of its own.

    Args:
        path: The file.
        project: Whose.
        patience: Seconds to wait for other writers.
    """

    def __init__(self, path: Path, project: str, patience: float = 30.0) -> None:
        self.path, self.project, self.patience = path, project, patience
        self.shown = str(path)
        self._own, self._lock = local(), Lock()
        self._open: list[sqlite3.Connection] = []
        self._spaces: dict[str, int] = {}
        with self._told():
            self._db()

    def read(self, entity: str, keys: Sequence[bytes]) -> tuple[bytes | None, list[bytes | None]]:
        """See the family's contract."""
        with self._told():
            db = self._db()
            db.execute("BEGIN")  # all reads see one moment
            try:
                head = self._head(db, entity)
                space = None if head is None else self._space(db, entity)
                found = {} if space is None else self._found(db, space, keys)
            finally:
                db.execute("COMMIT")
            return head, list(map(found.get, keys))

    def _head(self, db: sqlite3.Connection, entity: str) -> bytes | None:
        where = "SELECT head FROM heads WHERE project = ? AND entity = ?"
        found = db.execute(where, (self.project, entity)).fetchone()
        return None if found is None else found[0]

    def _found(self, db: sqlite3.Connection, space: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            found.update(db.execute(_select(len(some)), (*some, space)))
        return found

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

        def change(old: list[bytes | None], start: int) -> list[bytes]:
            made: list[bytes] = native.splice(old, slot, generation, list(rows[start : start + len(old)]), list(keep))
            return made

        self._change(entity, keys, change, fence)

    def sweep(self, entity: str, keys: Sequence[bytes], live: Spans) -> None:
        """See the family's contract."""
        self._change(entity, keys, lambda old, _: native.sweep(old, list(live)))

    def _change(
        self,
        entity: str,
        keys: Sequence[bytes],
        change: Callable[[list[bytes | None], int], list[bytes]],
        fence: bytes = b"",
    ) -> None:
        with self._told(), self._changing() as db:
            if fence:
                check_fence(self.shown, entity, self._head(db, entity), fence)
            space = self._made_space(db, entity)
            for start in range(0, len(keys), AT_ONCE):
                some = keys[start : start + AT_ONCE]
                found = self._found(db, space, some)
                old = [found.get(key) for key in some]
                with intact(self.shown, entity, some, old):
                    made = change(old, start)
                put = [(space, key, new) for key, new in zip(some, made, strict=True) if new and new != found.get(key)]
                gone = [(space, key) for key, new in zip(some, made, strict=True) if not new and key in found]
                db.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", put)
                db.executemany("DELETE FROM records WHERE space = ? AND key = ?", gone)
                self._note(db, space, [*(key for _, key, _ in put), *(key for _, key in gone)])

    def _note(self, db: sqlite3.Connection, space: int, keys: Sequence[bytes]) -> None:
        """Write down which keys are being changed, and forget what was changed long ago."""
        if keys:
            made = db.execute("INSERT INTO changes (space, keys) VALUES (?, ?)", (space, journal.packed(keys)))
            last = made.lastrowid or 0
            db.execute("DELETE FROM changes WHERE number <= ?", (last - journal.entries_kept(len(keys)),))

    def changes(self, entity: str, since: bytes | None) -> tuple[bytes, list[bytes] | None]:
        """See the family's contract."""
        with self._told():
            db = self._db()
            db.execute("BEGIN")  # all reads see one moment
            try:
                row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'changes'").fetchone()
                last = 0 if row is None else int(row[0])
                mark = b"%d" % last
                if since is None or int(since) > last:  # the file was put back to a former state
                    return mark, None
                first = db.execute("SELECT min(number) FROM changes").fetchone()[0]
                if int(since) < last and (first is None or first > int(since) + 1):
                    return mark, None
                where = "SELECT keys FROM changes WHERE number > ? AND space = ? ORDER BY number"
                entries = db.execute(where, (int(since), self._space(db, entity))).fetchall()
            finally:
                db.execute("COMMIT")
            return mark, [key for (entry,) in entries for key in journal.unpacked(entry)]

    def set_head(self, entity: str, new: bytes, old: bytes | None) -> bool:
        """See the family's contract."""
        with self._told(), self._changing(durably=True) as db:
            if self._head(db, entity) != old:
                return False
            self._made_space(db, entity)
            db.execute("INSERT OR REPLACE INTO heads VALUES (?, ?, ?)", (self.project, entity, new))
            return True

    def scan(self, entity: str, at_once: int = 1000) -> Iterator[list[tuple[bytes, bytes]]]:
        """See the family's contract."""
        after = b""
        while True:
            with self._told():
                db = self._db()
                space = self._space(db, entity)
                found = [] if space is None else db.execute(SCAN, (space, after, at_once)).fetchall()
            if not found:
                return
            yield found
            after = found[-1][0] + b"\0"

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for db in self._open:
                db.close()
            self._open.clear()
            self._own = local()

    # ------------------------------------------------------------------------------------------- inside

    def _made_space(self, db: sqlite3.Connection, entity: str) -> int:
        found = self._space(db, entity)
        if found is None:
            db.execute("INSERT INTO spaces (project, entity) VALUES (?, ?)", (self.project, entity))
            found = int(db.execute("SELECT last_insert_rowid()").fetchone()[0])  # not remembered: it may be rolled back
        return found

    def _space(self, db: sqlite3.Connection, entity: str) -> int | None:
        known = self._spaces.get(entity)
        if known is not None:
            return known
        where = "SELECT id FROM spaces WHERE project = ? AND entity = ?"
        found = db.execute(where, (self.project, entity)).fetchone()
        if found is None:
            return None
        self._spaces[entity] = int(found[0])
        return int(found[0])

    def _db(self) -> sqlite3.Connection:
        db: sqlite3.Connection | None = getattr(self._own, "db", None)
        if db is None:
            db = self._connected()
            with self._lock:
                self._open.append(db)
            self._own.db = db
        return db

    def _connected(self) -> sqlite3.Connection:
        db = open_file(self.path, APPLICATION, VERSION, TABLES, self.patience)
        db.execute(f"PRAGMA mmap_size = {MAPPED}")
        return db

    @contextmanager
    def _changing(self, *, durably: bool = False) -> Iterator[sqlite3.Connection]:
        db = self._db()
        db.execute(f"PRAGMA synchronous = {'FULL' if durably else 'NORMAL'}")
        with transaction(db):
            yield db

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of the database in words."""
        try:
            yield
        except sqlite3.Error as error:
            text = f"other processes have held it for {self.patience:g} s" if "locked" in str(error) else str(error)
            raise StoreError(f"{self.shown} cannot be used: {text}") from error


@lru_cache(AT_ONCE)
def _select(count: int) -> str:
    """Sought in the order that they come in, which is a tenth faster than `IN`, which sorts them."""
    asked = f"WITH asked (key) AS (VALUES {','.join(['(?)'] * count)})"
    return f"{asked} SELECT r.key, r.record FROM asked CROSS JOIN records r ON r.space = ? AND r.key = asked.key"
