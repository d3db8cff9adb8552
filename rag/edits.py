"""`Edits`: chunks that somebody wrote, joined, cut or took away, in the place of those that a chunker made.

An edit stands for certain chunks of the chunker's, told by what they said. As long as these come again when a document is
written anew, so does what stands for them.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

TABLES = (
    "CREATE TABLE edits (id INTEGER PRIMARY KEY AUTOINCREMENT, document INTEGER NOT NULL, origins TEXT NOT NULL)",
    "CREATE INDEX edits_of_document ON edits (document)",
    "CREATE INDEX chunks_of_edit ON chunks (edit) WHERE edit IS NOT NULL",
)


@dataclass(frozen=True)
class Overruled:
    """Which of a document's new chunks are overruled.

    Attributes:
        by: The edit of each that is.
        first: Where each edit that stays stands: at the first of its chunks.
        lost: Edits whose chunks are no longer there.
    """

    by: dict[int, int]
    first: dict[int, int]
    lost: tuple[int, ...]


class Edits:
    """The table of edits; who writes has begun a transaction.

    Args:
        db: The database of the records.
        ask: Reads of it, any thread at a time.
    """

    def __init__(self, db: sqlite3.Connection, ask: Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]) -> None:
        self._db, self._ask = db, ask

    def overruled(self, document: int, digests: Sequence[str]) -> Overruled:
        """Which of a document's chunks, as a chunker made them anew, are overruled."""
        rows = self._ask("SELECT id, origins FROM edits WHERE document = ? ORDER BY id", (document,))
        places: dict[str, list[int]] = {}
        if rows:
            for place in range(len(digests) - 1, -1, -1):
                places.setdefault(digests[place], []).append(place)  # the first one is taken first
        by: dict[int, int] = {}
        first: dict[int, int] = {}
        lost: list[int] = []
        for edit, told in rows:
            origins: list[str] = json.loads(told)
            if any(len(places.get(digest, ())) < times for digest, times in Counter(origins).items()):
                lost.append(edit)
                continue
            own = [places[digest].pop() for digest in origins]
            by |= dict.fromkeys(own, edit)
            first[edit] = min(own)
        return Overruled(by, first, tuple(lost))

    def chunks(self, edit: int) -> list[int]:
        """What stands in the place of an edit's chunks, in order."""
        return [row[0] for row in self._ask("SELECT id FROM chunks WHERE edit = ? ORDER BY number", (edit,))]

    def of(self, parts: Sequence[int]) -> int:
        """The edit that chunks of a document belong to from now on, all in one."""
        marks = ",".join("?" * len(parts))
        rows = self._db.execute(
            f"SELECT id, document, digest, edit FROM chunks WHERE id IN ({marks}) ORDER BY number",  # noqa: S608 (marks alone)
            list(parts),
        ).fetchall()
        origins: list[str] = []
        former: dict[int, None] = {}
        for _, _, digest, edit in rows:
            if edit is None:
                origins.append(digest)
            elif edit not in former:
                former[edit] = None
                (told,) = self._db.execute("SELECT origins FROM edits WHERE id = ?", (edit,)).fetchone()
                origins += json.loads(told)
        made = self._db.execute(
            "INSERT INTO edits (document, origins) VALUES (?, ?)", (rows[0][1], json.dumps(origins))
        ).lastrowid
        edit = int(made or 0)
        self._db.executemany("UPDATE chunks SET edit = ? WHERE edit = ?", [(edit, old) for old in former])
        self._db.executemany("DELETE FROM edits WHERE id = ?", [(old,) for old in former])
        self._db.executemany("UPDATE chunks SET edit = ? WHERE id = ?", [(edit, number) for number in parts])
        return edit

    def forget(self, edits: Sequence[int]) -> None:
        """Edits whose chunks are gone."""
        self._db.executemany("DELETE FROM edits WHERE id = ?", [(edit,) for edit in edits])

    def gone_document(self, document: int) -> None:
        """A document is gone."""
        self._db.execute("DELETE FROM edits WHERE document = ?", (document,))
