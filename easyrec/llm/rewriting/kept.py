"""`Kept`: rewrites that were made while people searched, in a file that processes share; old ones and too many go."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from easyrec.databases import open_file, transaction
from easyrec.errors import ModelError
from easyrec.llm.rewriting.rewrites import Rewrite

APPLICATION, VERSION = 0x65727772, 1
TABLES = (
    "CREATE TABLE rewrites (key BLOB PRIMARY KEY, at REAL NOT NULL, until REAL NOT NULL, value BLOB NOT NULL) WITHOUT ROWID",
    "CREATE INDEX rewrites_by_age ON rewrites (at)",
)
PATIENCE_S = 5.0
SWEPT = 256
"""After so many new ones the file is looked through for what is old or too much."""


class Kept:
    """The file. Any thread may use it.

    Args:
        path: It.
        ttl_s: How long rewrites are kept.
        failed_ttl_s: How long it is kept that there are none.
        entries: Queries that are kept, the latest ones; there may be `SWEPT` more for a while.
        now: Seconds since 1970.

    Raises:
        ModelError: It cannot be made, or is a file of something else.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        ttl_s: float,
        failed_ttl_s: float,
        entries: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.path, self._ttl_s, self._failed_ttl_s, self._entries = Path(path), ttl_s, failed_ttl_s, entries
        self._now, self._lock, self._since = now, threading.Lock(), 0
        try:
            self._db = open_file(self.path, APPLICATION, VERSION, TABLES, PATIENCE_S, ModelError)
            self._db.execute("PRAGMA synchronous = NORMAL")
        except sqlite3.Error as error:
            raise ModelError(f"{self.path}: cannot be opened: {error}") from None

    def get(self, key: str) -> tuple[Rewrite, ...] | None:
        """What was made of a query; None where nothing was, or too long ago.

        Raises:
            ModelError: The file cannot be read.
        """
        with self._telling("read"), self._lock:
            found = self._db.execute("SELECT until, value FROM rewrites WHERE key = ?", [bytes.fromhex(key)]).fetchone()
        if found is None or found[0] <= self._now():
            return None
        return tuple(Rewrite(**told) for told in json.loads(found[1]))

    def put(self, key: str, rewrites: tuple[Rewrite, ...]) -> None:
        """Keep what was made of a query.

        Raises:
            ModelError: The file cannot be written.
        """
        now = self._now()
        until = now + (self._ttl_s if rewrites else self._failed_ttl_s)
        told = json.dumps([asdict(rewrite) for rewrite in rewrites], ensure_ascii=False)
        with self._telling("written"), self._lock, transaction(self._db):
            row = [bytes.fromhex(key), now, until, told.encode("utf-8", "surrogatepass")]
            self._db.execute("INSERT OR REPLACE INTO rewrites VALUES (?, ?, ?, ?)", row)
            self._since += 1
            if self._since >= SWEPT:
                self._sweep(now)

    def __len__(self) -> int:
        with self._telling("read"), self._lock:
            return int(self._db.execute("SELECT count(*) FROM rewrites").fetchone()[0])

    def _sweep(self, now: float) -> None:
        self._since = 0
        self._db.execute("DELETE FROM rewrites WHERE until <= ?", [now])
        (count,) = self._db.execute("SELECT count(*) FROM rewrites").fetchone()
        if count > self._entries:
            oldest = "DELETE FROM rewrites WHERE key IN (SELECT key FROM rewrites ORDER BY at LIMIT ?)"
            self._db.execute(oldest, [count - self._entries])

    def _telling(self, what: str) -> _Telling:
        return _Telling(self.path, what)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()


class _Telling:
    """What the database says is told as an error of its file."""

    def __init__(self, path: Path, what: str) -> None:
        self._path, self._what = path, what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, sqlite3.Error):
            raise ModelError(f"{self._path}: rewrites cannot be {self._what}: {error}") from None
