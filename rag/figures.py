"""`Figures`: the pictures of documents, each once, as many as there is room for."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

TABLES = (
    "CREATE TABLE figures (digest TEXT PRIMARY KEY, bytes INTEGER NOT NULL, content BLOB NOT NULL)",
    "CREATE INDEX chunks_of_figure ON chunks (figure) WHERE figure IS NOT NULL",
)
MAGIC = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


class Figures:
    """The table of pictures; who writes has begun a transaction.

    Args:
        db: The database of the records.
        ask: Reads of it, any thread at a time.
    """

    def __init__(self, db: sqlite3.Connection, ask: Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]) -> None:
        self._db, self._ask = db, ask

    def get(self, digest: str) -> bytes | None:
        """A picture; None: it was not kept."""
        rows = self._ask("SELECT content FROM figures WHERE digest = ?", (digest,))
        return rows[0][0] if rows else None

    def size(self) -> int:
        """How much room they take."""
        ((total,),) = self._ask("SELECT coalesce(sum(bytes), 0) FROM figures", ())
        return int(total)

    def put(self, figures: Mapping[str, bytes], most: int) -> int:
        """Keep pictures by their digests, as long as all of them take no more than so many bytes.

        Returns:
            How many there was no room for.
        """
        if not figures:
            return 0
        total, left = self.size(), 0
        for digest, content in figures.items():
            if self._db.execute("SELECT 1 FROM figures WHERE digest = ?", (digest,)).fetchone():
                continue
            if total + len(content) > most:
                left += 1
                continue
            self._db.execute("INSERT INTO figures VALUES (?, ?, ?)", (digest, len(content), content))
            total += len(content)
        return left

    def sweep(self) -> None:
        """Let go of pictures that no chunk has any more."""
        self._db.execute(
            "DELETE FROM figures WHERE NOT EXISTS (SELECT 1 FROM chunks WHERE chunks.figure = figures.digest)"
        )


def digest_of(content: bytes) -> str:
    """Tells pictures apart."""
    return hashlib.sha256(content).hexdigest()


def type_of(content: bytes) -> str | None:
    """What kind of picture it is; None: one that is not kept."""
    return next((kind for magic, kind in MAGIC.items() if content.startswith(magic)), None)
