"""`sqlite`: in a file that the processes of a machine share."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from easyrec.databases import transaction
from easyrec.durable import write_ahead
from easyrec.errors import RunError
from serving.engine.history import History, HistoryConfig, Past

TIDY_S = 60.0
MAPPED, CACHE_KB = 1 << 31, 256
"""Of a connection: bytes of the file that are mapped, and the room for pages beside them, those that are written."""
_TABLES = (
    "CREATE TABLE IF NOT EXISTS clicks (user TEXT, time INTEGER, item, weight REAL)",
    "CREATE INDEX IF NOT EXISTS clicks_by_user ON clicks (user, time)",
    "CREATE TABLE IF NOT EXISTS shown (user TEXT, time INTEGER, item)",
    "CREATE INDEX IF NOT EXISTS shown_by_user ON shown (user, time)",
)


class Config(HistoryConfig):
    """Config of `sqlite`."""

    type: Literal["sqlite"] = "sqlite"
    path: str = Field(min_length=1)
    """The file; it is made where it is not there."""


class SQLite(History):
    """Rows by user. What a crash of the machine loses is the last moments of a history."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._own, self._all = threading.local(), list[sqlite3.Connection]()
        self._lock, self._tidied, self._newest = threading.Lock(), time.monotonic(), 0
        try:
            Path(config.path).parent.mkdir(parents=True, exist_ok=True)
            self._db()
        except (sqlite3.Error, OSError) as error:
            raise RunError(f"history.path: {config.path}: {error}") from None

    def _db(self) -> sqlite3.Connection:
        """The connection of this thread."""
        db: sqlite3.Connection | None = getattr(self._own, "db", None)
        if db is None:
            db = sqlite3.connect(self.config.path, timeout=0.1, isolation_level=None, check_same_thread=False)
            write_ahead(db, 5.0)
            db.execute("PRAGMA synchronous = OFF")
            # Each thread has a connection, whose pages would fill 2 MB little by little: those of the file are mapped instead.
            db.execute(f"PRAGMA mmap_size = {MAPPED}")
            db.execute(f"PRAGMA cache_size = {-CACHE_KB}")
            for statement in _TABLES:
                db.execute(statement)
            self._own.db = db
            with self._lock:
                self._all.append(db)
        return db

    def past(self, user: str, now: int) -> Past:
        """See the contract."""
        db, oldest, config = self._db(), now - int(1000.0 * self.config.keep_s), self.config
        order = "FROM {} WHERE user = ? AND time >= ? ORDER BY time DESC, rowid DESC LIMIT ?"
        clicks = db.execute(
            f"SELECT item, time, weight {order.format('clicks')}", (user, oldest, config.steps)
        ).fetchall()
        shown = db.execute(f"SELECT item, time {order.format('shown')}", (user, oldest, config.shown)).fetchall()
        return Past(
            [one[0] for one in clicks],
            [one[1] for one in clicks],
            [one[2] for one in clicks],
            [one[0] for one in shown],
            [one[1] for one in shown],
        )

    def add(self, events: Sequence[tuple[str, Any, int, float]]) -> None:
        """See the contract."""
        rows = [(user, at, item, weight) for user, item, at, weight in events]
        self._write("INSERT INTO clicks VALUES (?, ?, ?, ?)", rows)

    def show(self, user: str, items: Sequence[Any], now: int) -> None:
        """See the contract."""
        self._write("INSERT INTO shown VALUES (?, ?, ?)", [(user, now, item) for item in reversed(items)])

    def _write(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        db = self._db()
        self._newest = max(self._newest, *(row[1] for row in rows)) if rows else self._newest
        with transaction(db):
            db.executemany(statement, rows)
            if time.monotonic() - self._tidied > TIDY_S:
                self._tidied = time.monotonic()
                # a client whose clock is ahead does not make all that others did old
                now = min(self._newest, time.time_ns() // 1_000_000)
                oldest = now - int(1000.0 * self.config.keep_s)
                db.execute("DELETE FROM clicks WHERE time < ?", (oldest,))
                db.execute("DELETE FROM shown WHERE time < ?", (oldest,))

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for db in self._all:
                db.close()
            self._all.clear()
