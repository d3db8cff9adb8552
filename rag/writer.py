"""`Writer`: writes documents into the records, and what people make of their chunks."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from easyrec.retrieval.filters import Fact
from rag.edits import Edits
from rag.figures import Figures
from rag.links import Links

if TYPE_CHECKING:
    import numpy as np

    from rag.chunkers import Chunk
    from rag.records import New, Part


@dataclass(frozen=True)
class Whole:
    """A document that is to be written.

    Attributes:
        source: What it is called.
        digest: Of its content, and of how it was read and cut.
        facts: What is known of it.
        chunks: What it says.
        path: The file that it was read from; empty: none.
        counts: What was met while it was read, as `unread_pages`.
        figures: Its pictures by their digests.
    """

    source: str
    digest: str
    facts: Mapping[str, Sequence[Fact]]
    chunks: Sequence[New]
    path: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    figures: Mapping[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Written:
    """What came of it.

    Attributes:
        updated: Whether there was a document that is called so.
        chunks: How many it has now.
        lost: What people wrote in the place of chunks that are no longer there; an empty text where they took one away.
        left_out: Pictures that there was no room for.
    """

    updated: bool
    chunks: int
    lost: tuple[str, ...]
    left_out: int


class Writer:
    """Writes; who calls it has begun a transaction.

    Args:
        db: The database of the records.
        links: What stands beside chunks.
        edits: What people wrote.
        figures: Pictures.
    """

    def __init__(self, db: sqlite3.Connection, links: Links, edits: Edits, figures: Figures) -> None:
        self._db, self._links, self._edits, self._figures = db, links, edits, figures

    def put(self, whole: Whole, now: float, room: int) -> Written:
        """Write a document in the place of the one that is called the same.

        Chunks that say the same keep their numbers, and what people wrote stays where what it stands for is still there.

        Args:
            whole: It.
            now: Seconds since 1970.
            room: Bytes that pictures of all documents may take.
        """
        told = _json(whole.facts)
        former = self._db.execute("SELECT id, facts FROM documents WHERE source = ?", (whole.source,)).fetchone()
        about = (whole.digest, told, len(whole.chunks), now, whole.path, json.dumps(dict(whole.counts)))
        if former is None:
            document = self._made(
                "INSERT INTO documents (digest, facts, chunks, changed, path, counts, source) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*about, whole.source),
            )
        else:
            document = former[0]
            self._db.execute(
                "UPDATE documents SET digest = ?, facts = ?, chunks = ?, changed = ?, path = ?, counts = ? WHERE id = ?",
                (*about, document),
            )
        lost = self._put_chunks(document, whole.chunks, retell=former is not None and former[1] != told)
        count = self._count(document)
        left_out = self._figures.put(whole.figures, room)
        if former is not None:
            self._figures.sweep()
        self._db.executemany("DELETE FROM ahead WHERE text = ?", [(new.text,) for new in whole.chunks])
        return Written(former is not None, count, tuple(lost), left_out)

    def _put_chunks(self, document: int, chunks: Sequence[New], *, retell: bool) -> list[str]:
        """The chunks of a document in the place of its former ones, and what is lost of what people wrote."""
        digests = [new.chunk.digest() for new in chunks]
        overruled = self._edits.overruled(document, digests)
        lost = []
        for edit in overruled.lost:
            own = self._db.execute("SELECT body FROM chunks WHERE edit = ? ORDER BY number", (edit,)).fetchall()
            lost += [json.loads(body)["text"] for (body,) in own] or [""]
        self._edits.forget(overruled.lost)
        kept: dict[str, list[int]] = {}
        gone: list[int] = []
        for number, digest, edit in self._db.execute(
            "SELECT id, digest, edit FROM chunks WHERE document = ? AND link IS NULL ORDER BY number DESC", (document,)
        ):
            if edit is None:
                kept.setdefault(digest, []).append(number)
            elif edit in overruled.lost:
                gone.append(number)
        changes: list[int] = []
        place = 0
        for at, (new, digest) in enumerate(zip(chunks, digests, strict=True)):
            if at in overruled.by:
                if overruled.first[overruled.by[at]] == at:
                    own = self._edits.chunks(overruled.by[at])
                    self._db.executemany(
                        "UPDATE chunks SET number = ? WHERE id = ?", [(place + i, each) for i, each in enumerate(own)]
                    )
                    changes += own if retell else []
                    place += len(own)
                continue
            if kept.get(digest):
                number = kept[digest].pop()
                self._db.execute(
                    "UPDATE chunks SET number = ?, body = ?, vector = coalesce(?, vector) WHERE id = ?",
                    (place, new.chunk.as_json(), blob(new.vector), number),
                )
                changes += [number] if retell else []
            else:
                changes.append(self._insert(document, place, new))
            place += 1
        gone += [number for numbers in kept.values() for number in numbers]
        self._links.gone(gone)
        if retell:
            self._links.known_otherwise(document)
        self._db.executemany("DELETE FROM chunks WHERE id = ?", [(number,) for number in gone])
        self._tell([*changes, *gone])
        return lost

    def know(self, source: str, facts: Mapping[str, Sequence[Fact]], now: float) -> None:
        """Let something else be known of a document; its chunks stay as they are, also those that somebody wrote."""
        values = (_json(facts), now, source)
        self._db.execute("UPDATE documents SET facts = ?, changed = ? WHERE source = ?", values)
        for (document,) in self._db.execute("SELECT id FROM documents WHERE source = ?", (source,)).fetchall():
            self._db.execute(
                "INSERT INTO changes (chunk) SELECT id FROM chunks WHERE document = ? AND link IS NULL", (document,)
            )
            self._links.known_otherwise(document)

    def drop(self, source: str) -> bool:
        """Take a document away, and say whether it was there."""
        former = self._db.execute("SELECT id FROM documents WHERE source = ?", (source,)).fetchone()
        if former is None:
            return False
        self._links.gone_document(former[0])
        self._edits.gone_document(former[0])
        self._db.execute("INSERT INTO changes (chunk) SELECT id FROM chunks WHERE document = ?", former)
        self._db.execute("DELETE FROM chunks WHERE document = ?", former)
        self._db.execute("DELETE FROM documents WHERE id = ?", former)
        self._figures.sweep()
        return True

    # ----------------------------------------------------------------------------------------------- edits

    def edit(self, part: Part, new: Sequence[New], now: float) -> list[int]:
        """Let a chunk say something else: as one chunk, as several, or, with none, not at all.

        Returns:
            The numbers of what stands in its place; the first keeps its number.
        """
        if part.link is not None:
            self._change(part.id, new[0])
            return [part.id]
        self._edits.of([part.id])
        (edit,) = self._db.execute("SELECT edit FROM chunks WHERE id = ?", (part.id,)).fetchone()
        self._links.gone([part.id])
        if not new:
            self._db.execute("DELETE FROM chunks WHERE id = ?", (part.id,))
            self._tell([part.id])
            made = []
        else:
            self._change(part.id, new[0])
            made = [part.id]
        self._move(part.document, part.number, len(new) - 1)
        for place, each in enumerate(new[1:], part.number + 1):
            number = self._insert(part.document, place, each, edit)
            self._tell([number])
            made.append(number)
        self._changed(part.document, now)
        return made

    def read_otherwise(self, part: Part, chunk: Chunk) -> None:
        """Let something else be read in the place of a chunk that itself says the same; what stands beside it stays."""
        self._edits.of([part.id])
        values = (chunk.digest(), chunk.as_json(), part.id)
        self._db.execute("UPDATE chunks SET digest = ?, body = ? WHERE id = ?", values)

    def merge(self, parts: Sequence[Part], new: New, now: float) -> int:
        """Let chunks that follow each other be one, which has the number of the first."""
        numbers = [part.id for part in parts]
        self._edits.of(numbers)
        self._links.gone(numbers)
        self._change(numbers[0], new)
        self._db.executemany("DELETE FROM chunks WHERE id = ?", [(number,) for number in numbers[1:]])
        self._tell(numbers[1:])
        self._move(parts[0].document, parts[-1].number, 1 - len(parts))
        self._changed(parts[0].document, now)
        return numbers[0]

    def _change(self, part: int, new: New) -> None:
        """Let a chunk be another one; what stood beside it was of what it said before."""
        self._links.gone([part])
        chunk = new.chunk
        values = (chunk.digest(), chunk.as_json(), new.text, blob(new.vector), chunk.figure, part)
        self._db.execute(
            "UPDATE chunks SET digest = ?, body = ?, text = ?, vector = ?, figure = ? WHERE id = ?", values
        )
        self._db.execute("DELETE FROM ahead WHERE text = ?", (new.text,))
        self._tell([part])

    def _move(self, document: int, behind: int, by: int) -> None:
        self._db.execute(
            "UPDATE chunks SET number = number + ? WHERE document = ? AND link IS NULL AND number > ?",
            (by, document, behind),
        )

    def _changed(self, document: int, now: float) -> None:
        self._count(document)
        self._db.execute("UPDATE documents SET changed = ? WHERE id = ?", (now, document))
        self._figures.sweep()

    def _count(self, document: int) -> int:
        """Say how many chunks a document has."""
        (count,) = self._db.execute(
            "SELECT count(*) FROM chunks WHERE document = ? AND link IS NULL", (document,)
        ).fetchone()
        self._db.execute("UPDATE documents SET chunks = ? WHERE id = ?", (count, document))
        return int(count)

    def _insert(self, document: int, place: int, new: New, edit: int | None = None) -> int:
        chunk = new.chunk
        values = (
            document, place, chunk.digest(), chunk.as_json(), new.text, blob(new.vector), chunk.figure, edit
        )  # fmt: skip
        return self._made(
            "INSERT INTO chunks (document, number, digest, body, text, vector, figure, edit)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )

    def _made(self, statement: str, values: Sequence[object]) -> int:
        return int(self._db.execute(statement, values).lastrowid or 0)

    def _tell(self, numbers: Sequence[int]) -> None:
        self._db.executemany("INSERT INTO changes (chunk) VALUES (?)", [(number,) for number in numbers])


def blob(vector: np.ndarray | None) -> bytes | None:
    """A vector as it is kept."""
    return None if vector is None else vector.astype("<f4").tobytes()


def _json(facts: Mapping[str, Sequence[Fact]]) -> str:
    return json.dumps({name: list(values) for name, values in facts.items()}, ensure_ascii=False, sort_keys=True)
