"""`Links`: what stands beside chunks: texts by which a chunk is found too, and summaries of many chunks.

Both are chunks of their own in the same table, so that the indexes follow them as they follow all others. They live as long as
what they are of: a link as its chunk, a summary as each of its children.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from easyrec.errors import ConfigError
from easyrec.retrieval.filters import Fact

if TYPE_CHECKING:
    from rag.records import New

EVERYBODY = "*"
"""Who may see a document of which nothing else is said."""
TREE = "tree"
"""The kind of a summary."""
KIND = re.compile(r"^[a-z][a-z0-9_]{0,31}$")
IDS = 500
"""Ids in one statement."""
TABLES = (
    "CREATE INDEX links_of_chunk ON chunks (parent, link) WHERE parent IS NOT NULL",
    "CREATE INDEX trees ON chunks (link, number) WHERE link = 'tree'",
    "CREATE TABLE linked (chunk INTEGER NOT NULL, kind TEXT NOT NULL, PRIMARY KEY (chunk, kind)) WITHOUT ROWID",
    "CREATE TABLE children (tree INTEGER NOT NULL, child INTEGER NOT NULL, PRIMARY KEY (tree, child)) WITHOUT ROWID",
    "CREATE INDEX trees_of_child ON children (child)",
    "CREATE TABLE over (tree INTEGER NOT NULL, document INTEGER NOT NULL, PRIMARY KEY (tree, document)) WITHOUT ROWID",
    "CREATE INDEX trees_of_document ON over (document)",
)


@dataclass(frozen=True)
class Via:
    """The link by which a chunk was found.

    Attributes:
        kind: As `question`.
        text: Its words.
    """

    kind: str
    text: str


def kind_of(kind: str) -> str:
    """A kind of link.

    Raises:
        ConfigError: It cannot be called so.
    """
    if not KIND.match(kind) or kind == TREE:
        raise ConfigError(f"'{kind}' is no kind of link: small letters, digits and '_', at most 32, not '{TREE}'")
    return kind


class Links:
    """The tables of links and summaries; who writes has begun a transaction.

    Args:
        db: The database of the records.
        ask: Reads of it, any thread at a time.
    """

    def __init__(self, db: sqlite3.Connection, ask: Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]) -> None:
        self._db, self._ask = db, ask

    # --------------------------------------------------------------------------------------------- reading

    def some(self) -> bool:
        """Whether there are any links."""
        return bool(self._ask("SELECT 1 FROM chunks WHERE parent IS NOT NULL LIMIT 1", ()))

    def parents(self, ids: Sequence[int]) -> dict[int, int]:
        """Of those that are links: whose they are."""
        return dict(self._in("SELECT id, parent FROM chunks WHERE parent IS NOT NULL AND id IN ({})", ids))

    def via(self, ids: Sequence[int]) -> dict[int, Via]:
        """What links say."""
        rows = self._in("SELECT id, link, body FROM chunks WHERE parent IS NOT NULL AND id IN ({})", ids)
        return {row[0]: Via(row[1], json.loads(row[2])["text"]) for row in rows}

    def children(self, trees: Sequence[int]) -> dict[int, tuple[int, ...]]:
        """What summaries are of."""
        found: dict[int, tuple[int, ...]] = {}
        for tree, child in self._in("SELECT tree, child FROM children WHERE tree IN ({}) ORDER BY child", trees):
            found[tree] = (*found.get(tree, ()), child)
        return found

    def documents(self, trees: Sequence[int]) -> dict[int, list[tuple[str, dict[str, list[Fact]]]]]:
        """The documents that summaries are of, with what is known of these."""
        found: dict[int, list[tuple[str, dict[str, list[Fact]]]]] = {}
        statement = (
            "SELECT o.tree, d.source, d.facts FROM over o JOIN documents d ON d.id = o.document"
            " WHERE o.tree IN ({}) ORDER BY d.id"
        )
        for tree, source, facts in self._in(statement, trees):
            found.setdefault(tree, []).append((source, json.loads(facts)))
        return found

    # --------------------------------------------------------------------------------------------- writing

    def link(self, part: int, document: int, kind: str, new: Sequence[New]) -> None:
        """Put links beside a chunk, in the place of those of the same kind; equal ones keep their numbers."""
        former = self._db.execute("SELECT id, digest FROM chunks WHERE parent = ? AND link = ?", (part, kind))
        kept = {digest: number for number, digest in former}
        for each in new:
            digest = each.chunk.digest()
            if kept.pop(digest, None) is None:
                self._insert(document, 0, each, part, kind)
        self._delete(kept.values())
        self._db.execute("INSERT OR IGNORE INTO linked VALUES (?, ?)", (part, kind))

    def renew(self, kind: str) -> None:
        """Let no chunk count as one that was given links of a kind; those that it has stay until others take their place."""
        self._db.execute("DELETE FROM linked WHERE kind = ?", (kind,))

    def unlink(self, kind: str) -> None:
        """Take all links of a kind away."""
        self._delete(
            [row[0] for row in self._db.execute("SELECT id FROM chunks WHERE parent IS NOT NULL AND link = ?", (kind,))]
        )
        self._db.execute("DELETE FROM linked WHERE kind = ?", (kind,))

    def drop(self, number: int) -> None:
        """Take a link or a summary away, and what sums it up."""
        self.gone([number])
        self._delete_trees([number])

    def add_tree(self, level: int, new: New, children: Sequence[int]) -> int:
        """Add a summary of chunks, or of other summaries."""
        documents = {
            row[0]
            for statement in (
                "SELECT document FROM chunks WHERE link IS NULL AND id IN ({})",
                "SELECT document FROM over WHERE tree IN ({})",
            )
            for row in self._in(statement, children)
        }
        number = self._insert(next(iter(documents)) if len(documents) == 1 else 0, level, new, None, TREE)
        self._db.executemany("INSERT INTO children VALUES (?, ?)", [(number, child) for child in sorted(set(children))])
        self._db.executemany("INSERT INTO over VALUES (?, ?)", [(number, document) for document in sorted(documents)])
        return number

    def drop_trees(self, level: int) -> None:
        """Take summaries of a level, and of those above, away."""
        rows = self._db.execute("SELECT id FROM chunks WHERE link = 'tree' AND number >= ?", (level,))
        self._delete_trees([row[0] for row in rows])

    def gone(self, ids: Sequence[int]) -> None:
        """Chunks say something else, or are gone: so are their links, and what sums them up."""
        self._delete([row[0] for row in self._in("SELECT id FROM chunks WHERE parent IN ({})", ids)])
        self._db.executemany("DELETE FROM linked WHERE chunk = ?", [(number,) for number in ids])
        above = (
            "WITH RECURSIVE above (tree) AS (SELECT tree FROM children WHERE child IN ({}) UNION"
            " SELECT c.tree FROM children c JOIN above a ON c.child = a.tree) SELECT tree FROM above"
        )
        self._delete_trees([row[0] for row in self._in(above, ids)])

    def gone_document(self, document: int) -> None:
        """A document is gone, with its chunks."""
        self._db.execute("DELETE FROM linked WHERE chunk IN (SELECT id FROM chunks WHERE document = ?)", (document,))
        rows = self._db.execute("SELECT tree FROM over WHERE document = ?", (document,))
        self._delete_trees([row[0] for row in rows])  # those of summaries too: each names all of its documents

    def known_otherwise(self, document: int) -> None:
        """What is known of a document has changed: the indexes are told of all that stands beside its chunks."""
        self._db.execute(
            "INSERT INTO changes (chunk) SELECT id FROM chunks WHERE document = ? AND link IS NOT NULL"
            " UNION SELECT tree FROM over WHERE document = ?",
            (document, document),
        )

    def _insert(self, document: int, number: int, new: New, parent: int | None, link: str) -> int:
        vector = None if new.vector is None else new.vector.astype("<f4").tobytes()
        values = (document, number, new.chunk.digest(), new.chunk.as_json(), new.text, vector, parent, link)
        self._db.execute("DELETE FROM ahead WHERE text = ?", (new.text,))
        made = self._db.execute(
            "INSERT INTO chunks (document, number, digest, body, text, vector, parent, link)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        ).lastrowid
        self._db.execute("INSERT INTO changes (chunk) VALUES (?)", (made,))
        return int(made or 0)

    def _delete(self, ids: Iterable[int]) -> None:
        numbers = [(number,) for number in ids]
        self._db.executemany("DELETE FROM chunks WHERE id = ?", numbers)
        self._db.executemany("INSERT INTO changes (chunk) VALUES (?)", numbers)

    def _delete_trees(self, ids: Sequence[int]) -> None:
        numbers = [(number,) for number in ids]
        self._db.executemany("DELETE FROM children WHERE tree = ?", numbers)
        self._db.executemany("DELETE FROM over WHERE tree = ?", numbers)
        self._delete(ids)

    def _in(self, statement: str, ids: Sequence[int]) -> list[tuple[Any, ...]]:
        """The rows of a statement about any number of ids."""
        found: list[tuple[Any, ...]] = []
        for start in range(0, len(ids), IDS):
            some = list(ids[start : start + IDS])
            found += self._ask(statement.format(",".join("?" * len(some))), some)
        return found


def common(known: Sequence[Mapping[str, Sequence[Fact]]]) -> dict[str, list[Fact]]:
    """What holds of all documents; `access` names who may see each of them."""
    if len(known) == 1:
        return {name: list(values) for name, values in known[0].items()}
    first, *rest = known
    found: dict[str, list[Fact]] = {}
    for name, values in first.items():
        shared = [
            v for v in values if all(any(type(v) is type(w) and v == w for w in other.get(name, ())) for other in rest)
        ]
        if shared:
            found[name] = shared
    access = access_of(known)
    found.pop("access", None)
    return found if access is None else {**found, "access": list(access)}


def access_of(known: Sequence[Mapping[str, Sequence[Fact]]]) -> list[str] | None:
    """Who may see all of several documents; None: everybody."""
    found: list[str] | None = None
    for facts in known:
        own = [str(name) for name in facts.get("access", (EVERYBODY,))]
        if EVERYBODY not in own:
            found = own if found is None else [name for name in found if name in own]
    return found


def sees(access: Collection[str], facts: Mapping[str, Sequence[Fact]]) -> bool:
    """Whether somebody with these names may see a document of which this is known."""
    own = facts.get("access", (EVERYBODY,))
    return EVERYBODY in own or any(name in own for name in access)
