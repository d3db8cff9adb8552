"""`Cache`: answers by what was asked, in a file that processes share."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from easyrec.databases import open_file, transaction
from easyrec.errors import ModelError

APPLICATION, VERSION = 0x656C6C6D, 1
TABLES = (
    "CREATE TABLE answers (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE vectors (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
)
PATIENCE_S = 30.0
KEYS = 500
"""Keys in one statement."""


class Cache:
    """Keeps answers and vectors. What was kept is there after a crash. Any thread may use it.

    Args:
        path: The file.

    Raises:
        ModelError: It cannot be made, or is a file of something else.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        try:
            self._db = open_file(self.path, APPLICATION, VERSION, TABLES, PATIENCE_S, ModelError)
            self._db.execute("PRAGMA synchronous = NORMAL")
        except sqlite3.Error as error:
            raise ModelError(f"{self.path}: the cache cannot be opened: {error}") from None

    def answer(self, key: str) -> dict[str, Any] | None:
        """What was answered to this, if it was asked."""
        rows = self._ask("SELECT value FROM answers WHERE key = ?", [bytes.fromhex(key)])
        return json.loads(rows[0][0]) if rows else None

    def keep(self, key: str, answer: Mapping[str, Any]) -> None:
        """Keep an answer."""
        self._put(
            "answers", [(bytes.fromhex(key), json.dumps(answer, ensure_ascii=False).encode("utf-8", "surrogatepass"))]
        )

    def vectors(self, keys: Sequence[str]) -> dict[str, np.ndarray]:
        """The vectors that are there, by key; (d,) float32."""
        found: dict[str, np.ndarray] = {}
        for start in range(0, len(keys), KEYS):
            some = [bytes.fromhex(key) for key in keys[start : start + KEYS]]
            marks = ",".join("?" * len(some))
            for key, value in self._ask(f"SELECT key, value FROM vectors WHERE key IN ({marks})", some):  # noqa: S608 (marks alone)
                found[key.hex()] = np.frombuffer(value, "<f4")
        return found

    def keep_vectors(self, vectors: Mapping[str, np.ndarray]) -> None:
        """Keep vectors by key."""
        self._put("vectors", [(bytes.fromhex(key), vector.astype("<f4").tobytes()) for key, vector in vectors.items()])

    def _ask(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            with self._lock:
                return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise ModelError(f"{self.path}: the cache cannot be read: {error}") from None

    def _put(self, table: str, rows: Sequence[tuple[bytes, bytes]]) -> None:
        try:
            with self._lock, transaction(self._db):
                self._db.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", rows)  # noqa: S608 (one of our tables)
        except sqlite3.Error as error:
            raise ModelError(f"{self.path}: the answer cannot be kept: {error}") from None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()
