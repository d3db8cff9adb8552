"""`Records`: all that a knowledge base knows, in one database: documents, their chunks and vectors, and what has changed.

Whatever else there is, an index of words or of vectors, is made of it and can be made anew. A document is in it whole or not
at all.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from easyrec.databases import open_file, told_of, transaction
from easyrec.retrieval.filters import Fact
from rag import edits, figures, links
from rag.chunkers import Chunk
from rag.edits import Edits
from rag.figures import Figures
from rag.links import EVERYBODY, TREE, Links, common, sees
from rag.writer import Writer, blob

APPLICATION, VERSION = 0x6561726B, 2
PATIENCE_S = 30.0
KEPT = 200_000
"""Changes that are remembered; who missed more is told everything."""
TABLES = (
    "CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE documents (id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL UNIQUE, digest TEXT NOT NULL,"
    " facts TEXT NOT NULL, chunks INTEGER NOT NULL, changed REAL NOT NULL, path TEXT NOT NULL, counts TEXT NOT NULL)",
    "CREATE TABLE chunks (id INTEGER PRIMARY KEY AUTOINCREMENT, document INTEGER NOT NULL, number INTEGER NOT NULL,"
    " digest TEXT NOT NULL, body TEXT NOT NULL, text BLOB NOT NULL, vector BLOB, parent INTEGER, link TEXT,"
    " figure TEXT, edit INTEGER)",
    "CREATE INDEX chunks_of_document ON chunks (document, number)",
    "CREATE INDEX chunks_of_text ON chunks (text)",
    "CREATE INDEX chunks_without_vector ON chunks (id) WHERE vector IS NULL",
    "CREATE TABLE changes (id INTEGER PRIMARY KEY AUTOINCREMENT, chunk INTEGER NOT NULL)",
    "CREATE TABLE ahead (text BLOB PRIMARY KEY, vector BLOB NOT NULL, at REAL NOT NULL)",
    *links.TABLES,
    *edits.TABLES,
    *figures.TABLES,
)
IDS = 500
"""Ids in one statement."""


@dataclass(frozen=True)
class Stored:
    """A document as it is kept.

    Attributes:
        id: Its number.
        source: What it is called: no two are called the same.
        digest: Of its content, and of how it was read and cut.
        facts: What is known of it.
        chunks: How many it has.
        changed: When it was last written, in seconds since 1970.
        path: The file that it was read from; empty: none.
        counts: What was met while it was read, as `unread_pages`.
    """

    id: int
    source: str
    digest: str
    facts: dict[str, list[Fact]]
    chunks: int
    changed: float
    path: str = ""
    counts: dict[str, int] = field(default_factory=dict)

    def visible(self, access: Collection[str] | None) -> bool:
        """Whether somebody with these names may see it; None: who sees all."""
        return access is None or sees(access, self.facts)


@dataclass(frozen=True)
class Part:
    """A chunk as it is kept.

    Attributes:
        id: Its number, which no other chunk ever has.
        document: That of its document.
        source: What that is called.
        number: Its place in there, from 0 on.
        chunk: What it says.
        facts: What is known of its document.
        vector: (d,) float32, if it has one.
        parent: Of a link: the number of the chunk that it stands beside.
        link: The kind of a link, or `tree` of a summary, whose `number` is its level; None of a chunk of a document.
        children: What a summary is of, by number.
        edited: Whether somebody wrote what it says.
    """

    id: int
    document: int
    source: str
    number: int
    chunk: Chunk
    facts: dict[str, list[Fact]]
    vector: np.ndarray | None
    parent: int | None = None
    link: str | None = None
    children: tuple[int, ...] = ()
    edited: bool = False

    def known(self) -> dict[str, tuple[Fact, ...]]:
        """What it may be filtered by."""
        own: dict[str, tuple[Fact, ...]] = {name: tuple(values) for name, values in self.facts.items()}
        source = (self.source,) if self.document else ()  # what sums up several documents is of none of them
        return {"access": (EVERYBODY,), **own, "source": source, "kind": (self.chunk.kind,)}

    def visible(self, access: Collection[str] | None) -> bool:
        """Whether somebody with these names may see it; None: who sees all."""
        return access is None or sees(access, self.facts)


@dataclass(frozen=True)
class New:
    """A chunk that is to be kept.

    Attributes:
        chunk: What it says.
        text: Digest of what is embedded of it.
        vector: (d,) float32, if there is one.
    """

    chunk: Chunk
    text: bytes
    vector: np.ndarray | None


class Records:
    """The database. Any thread may use it, and any process.

    Args:
        path: The file.

    Raises:
        StoreError: It cannot be opened, or is something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock, self._reading = threading.RLock(), threading.Lock()
        self._writes: int | None = None
        with told_of(self.path):
            self._db = open_file(path, APPLICATION, VERSION, TABLES, PATIENCE_S)
            self._db.execute("PRAGMA synchronous = FULL")
            # Who reads waits for nobody who writes, and sees nothing that is not whole.
            self._seen = open_file(path, APPLICATION, VERSION, TABLES, PATIENCE_S)
            self._seen.execute("PRAGMA query_only = ON")
        self.links, self.edits = Links(self._db, self._ask), Edits(self._db, self._ask)
        self.figures = Figures(self._db, self._ask)
        self.writer = Writer(self._db, self.links, self.edits, self.figures)

    def close(self) -> None:
        """Close the file."""
        with self._lock, self._reading:
            self._db.close()
            self._seen.close()

    # --------------------------------------------------------------------------------------------- reading

    def about(self, key: str) -> str | None:
        """What it says of itself."""
        rows = self._ask("SELECT value FROM about WHERE key = ?", (key,))
        return rows[0][0] if rows else None

    def document(self, source: str) -> Stored | None:
        """A document by what it is called."""
        return next(iter(self._documents("WHERE source = ?", (source,))), None)

    def document_of(self, number: int) -> Stored | None:
        """A document by its number."""
        return next(iter(self._documents("WHERE id = ?", (number,))), None)

    def documents(self) -> list[Stored]:
        """All documents, by what they are called."""
        return self._documents("ORDER BY source", ())

    def _documents(self, clause: str, values: Sequence[Any]) -> list[Stored]:
        rows = self._ask(
            f"SELECT id, source, digest, facts, chunks, changed, path, counts FROM documents {clause}",  # noqa: S608 (ours)
            values,
        )
        return [
            Stored(row[0], row[1], row[2], json.loads(row[3]), row[4], row[5], row[6], json.loads(row[7]))
            for row in rows
        ]

    def files(self) -> list[tuple[str, str]]:
        """What documents are called that were read from files, and where these were."""
        return [(row[0], row[1]) for row in self._ask("SELECT source, path FROM documents WHERE path <> ''", ())]

    def sources(self, prefix: str) -> list[str]:
        """What documents are called whose names begin so."""
        rows = self._ask("SELECT source FROM documents WHERE substr(source, 1, ?) = ?", (len(prefix), prefix))
        return [row[0] for row in rows]

    def values(self, name: str, most: int) -> list[Fact]:
        """The values that a fact has, in any document, the most frequent first."""
        rows = self._ask(
            "SELECT f.value, f.type FROM documents d, json_each(d.facts, ?) f GROUP BY f.value, f.type"
            " ORDER BY count(*) DESC, f.value LIMIT ?",
            (f'$."{name}"', most),
        )
        return [bool(value) if kind in ("true", "false") else value for value, kind in rows]

    def count(self) -> tuple[int, int]:
        """How many documents and chunks."""
        ((documents, chunks),) = self._ask("SELECT count(*), coalesce(sum(chunks), 0) FROM documents", ())
        return documents, chunks

    def parts(self, ids: Iterable[int], *, vectors: bool = False) -> dict[int, Part]:
        """Chunks by their numbers; who is not there is left out."""
        wanted = [int(number) for number in ids]
        found: dict[int, Part] = {}
        for start in range(0, len(wanted), IDS):
            some = wanted[start : start + IDS]
            found |= {
                part.id: part for part in self._parts(f"WHERE c.id IN ({','.join('?' * len(some))})", some, vectors)
            }
        return found

    def parts_of(self, document: int) -> list[Part]:
        """The chunks of a document, in their order, without what stands beside them."""
        return self._parts("WHERE c.document = ? AND c.link IS NULL ORDER BY c.number", (document,), False)

    def links_of(self, part: int) -> list[Part]:
        """What stands beside a chunk."""
        return self._parts("WHERE c.parent = ? ORDER BY c.link, c.id", (part,), False)

    def trees(self) -> list[Part]:
        """All summaries of chunks, the lowest first."""
        return self._parts("WHERE c.link = 'tree' ORDER BY c.number, c.id", (), False)

    def unlinked(self, kind: str, after: int, most: int, every: bool) -> list[Part]:
        """Some chunks, behind a number, that nobody gave links of a kind, or whatever they have."""
        missing = "(? OR NOT EXISTS (SELECT 1 FROM linked l WHERE l.chunk = c.id AND l.kind = ?))"
        return self._parts(
            f"WHERE c.link IS NULL AND c.id > ? AND {missing} ORDER BY c.id LIMIT ?", (after, every, kind, most), False
        )

    def beside(self, document: int, first: int, last: int) -> list[Part]:
        """The chunks of a document from one place to another, both included."""
        clause = "WHERE c.document = ? AND c.link IS NULL AND c.number BETWEEN ? AND ? ORDER BY c.number"
        return self._parts(clause, (document, first, last), False)

    def after(self, chunk: int, most: int) -> list[Part]:
        """The next chunks behind a number, with their vectors."""
        return self._parts("WHERE c.id > ? ORDER BY c.id LIMIT ?", (chunk, most), True)

    def _parts(self, clause: str, values: Sequence[Any], vectors: bool) -> list[Part]:
        vector = "c.vector" if vectors else "NULL"
        rows = self._ask(
            f"SELECT c.id, c.document, d.source, c.number, c.body, d.facts, {vector}, c.parent, c.link, c.edit"  # noqa: S608 (ours)
            f" FROM chunks c LEFT JOIN documents d ON d.id = c.document {clause}",
            values,
        )
        trees = [row[0] for row in rows if row[8] == TREE]
        children = self.links.children(trees) if trees else {}
        over = self.links.documents(trees) if trees else {}
        found = []
        for row in rows:
            # What belongs to no document is nobody's.
            source, facts = row[2], {"access": []} if row[5] is None else json.loads(row[5])
            if row[0] in over:
                of = over[row[0]]
                source, facts = of[0][0] if len(of) == 1 else f"{len(of)} documents", common([each for _, each in of])
            chunk, beside = Chunk.from_json(row[4]), (row[7], row[8], children.get(row[0], ()), row[9] is not None)
            found.append(Part(row[0], row[1], source or "", row[3], chunk, facts, _vector(row[6]), *beside))
        return found

    def without_vectors(self, most: int) -> list[Part]:
        """Some chunks that have no vector."""
        return self._parts("WHERE c.vector IS NULL ORDER BY c.id LIMIT ?", (most,), False)

    def vectors_of(self, texts: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """Vectors that are there already, by the digests of their texts."""
        found: dict[bytes, np.ndarray] = {}
        for start in range(0, len(texts), IDS):
            some = list(texts[start : start + IDS])
            marks = ",".join("?" * len(some))
            for text, value in self._ask(
                f"SELECT text, vector FROM chunks WHERE vector IS NOT NULL AND text IN ({marks})"  # noqa: S608 (marks alone)
                f" UNION ALL SELECT text, vector FROM ahead WHERE text IN ({marks})",
                some + some,
            ):
                found[text] = np.frombuffer(value, "<f4")
        return found

    def last(self) -> int:
        """The last change."""
        ((found,),) = self._ask("SELECT coalesce(max(id), 0) FROM changes", ())
        return int(found)

    def changed(self, since: int, most: int) -> tuple[int, list[int]] | None:
        """Chunks that were added, changed or taken away behind a change, each once; None where that is not remembered.

        Returns:
            The last change that was looked at, and the numbers of the chunks.
        """
        ((first, last),) = self._ask("SELECT coalesce(min(id), 0), coalesce(max(id), 0) FROM changes", ())
        if first > since + 1 or since > last:  # who was told more was told by other records
            return None
        rows = self._ask("SELECT id, chunk FROM changes WHERE id > ? ORDER BY id LIMIT ?", (since, most))
        return (rows[-1][0], sorted({row[1] for row in rows})) if rows else (since, [])

    # --------------------------------------------------------------------------------------------- writing

    @contextmanager
    def writing(self) -> Iterator[None]:
        """What is written inside of the block is there whole or not at all."""
        with self._lock, told_of(self.path), transaction(self._db):
            self._writes = threading.get_ident()
            try:
                yield
                self._db.execute("DELETE FROM changes WHERE id <= (SELECT max(id) FROM changes) - ?", (KEPT,))
            finally:
                self._writes = None

    def tell(self, key: str, value: str) -> None:
        """Let it say this of itself."""
        self._db.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (key, value))

    def remember(self, vectors: dict[bytes, np.ndarray], now: float) -> None:
        """Keep vectors by the digests of their texts until a document has these: who is stopped before need not pay twice."""
        with self.writing():
            self._db.executemany(
                "INSERT OR REPLACE INTO ahead VALUES (?, ?, ?)",
                [(text, blob(vector), now) for text, vector in vectors.items()],
            )

    def forget_ahead(self, before: float) -> None:
        """Let go of vectors that no document came to have since a time."""
        with self.writing():
            self._db.execute("DELETE FROM ahead WHERE at < ?", (before,))

    def give_vectors(self, vectors: dict[int, np.ndarray]) -> None:
        """Let chunks have vectors, by their numbers."""
        values = [(blob(vector), number) for number, vector in vectors.items()]
        self._db.executemany("UPDATE chunks SET vector = ? WHERE id = ?", values)
        self._db.executemany("INSERT INTO changes (chunk) VALUES (?)", [(number,) for number in vectors])

    def forget_vectors(self) -> None:
        """All vectors are of a model that is no longer used."""
        self._db.execute("UPDATE chunks SET vector = NULL")
        self._db.execute("DELETE FROM ahead")
        self._db.execute("INSERT INTO changes (chunk) SELECT id FROM chunks")

    def _ask(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        if self._writes == threading.get_ident():  # who writes sees what he has written
            with told_of(self.path):
                return self._db.execute(statement, values).fetchall()
        with self._reading, told_of(self.path):
            return self._seen.execute(statement, values).fetchall()


def _vector(value: bytes | None) -> np.ndarray | None:
    return None if value is None else np.frombuffer(value, "<f4")
