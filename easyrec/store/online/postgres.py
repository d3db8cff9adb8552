"""`postgres`: a store in a database of PostgreSQL, or of whatever speaks its protocol."""

# ruff: noqa: S608 (statements are made of this file's constants; values are bound)

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

from pydantic import Field, field_validator

from easyrec.store import journal, native
from easyrec.store.online import OnlineConfig, OnlineStore, Spans, address, check_fence, expanded, intact
from easyrec.store.postgres import LOCK, Postgres

TABLES = {
    "easyrec_heads": "CREATE TABLE easyrec_heads (space integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
    "project text NOT NULL, entity text NOT NULL, head bytea, UNIQUE (project, entity))",
    "easyrec_records": "CREATE TABLE easyrec_records (space integer NOT NULL, key bytea NOT NULL, record bytea NOT NULL, "
    "PRIMARY KEY (space, key))",
    "easyrec_changes": "CREATE TABLE easyrec_changes (space integer NOT NULL, number bigint NOT NULL, keys bytea NOT NULL, "
    "PRIMARY KEY (space, number))",
}
KEYWISE = "SET enable_bitmapscan = off; SET enable_seqscan = off; SET jit = off"
"""Of a table that was just filled the planner knows nothing, and would read all of it to find some keys."""
STAGING = "CREATE TEMPORARY TABLE easyrec_staging (key bytea, record bytea) ON COMMIT DELETE ROWS"
SPACE = "SELECT space FROM easyrec_heads WHERE project = %s AND entity = %s"
NEW_SPACE = "INSERT INTO easyrec_heads (project, entity) VALUES (%s, %s) ON CONFLICT DO NOTHING"
FOUND = "SELECT key, record FROM easyrec_records WHERE space = %s AND key = ANY(%b)"
COPY = "COPY easyrec_staging FROM STDIN (FORMAT BINARY)"
UPSERT = (
    "INSERT INTO easyrec_records SELECT %s, key, record FROM easyrec_staging "
    "ON CONFLICT (space, key) DO UPDATE SET record = EXCLUDED.record"
)
DELETE = "DELETE FROM easyrec_records WHERE space = %s AND key = ANY(%b)"
SWAP = "UPDATE easyrec_heads SET head = %s WHERE space = %s AND head IS NOT DISTINCT FROM %s"
LAST = "SELECT coalesce(max(number), 0) FROM easyrec_changes WHERE space = %s"
NOTE = "INSERT INTO easyrec_changes VALUES (%s, %s, %s)"
FORGET = "DELETE FROM easyrec_changes WHERE space = %s AND number <= %s"
LATER = "SELECT number, keys FROM easyrec_changes WHERE space = %s AND number >= %s ORDER BY number"
SCAN = "SELECT key, record FROM easyrec_records WHERE space = %s AND key >= %s ORDER BY key LIMIT %s"
AT_ONCE = 2048
"""Keys of a transaction, for which others who write to the entity wait."""


class Config(OnlineConfig):
    """Config of `postgres`."""

    type: Literal["postgres"] = "postgres"
    url: str
    """`postgresql://user:${PASSWORD}@host:5432/database`; its user may create tables, or they are there."""
    timeout_seconds: float = Field(5.0, gt=0.0)
    """How long the server may be silent."""

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        return address(value, "postgresql://", "postgres://")

    def open(self, project: str) -> OnlineStore:
        """See the family's contract."""
        return PostgresStore(expanded(self.url), project, self.timeout_seconds)


class PostgresStore(OnlineStore):
    """Records as rows of the table `easyrec_records`, heads as rows of `easyrec_heads`.

    Args:
        url: Of the database.
        project: Whose.
        timeout: Seconds that the server may be silent.
    """

    def __init__(self, url: str, project: str, timeout: float = 5.0) -> None:
        self._db = Postgres(url, timeout, TABLES, [KEYWISE, STAGING])
        self.shown, self.project = self._db.shown, project
        self._spaces: dict[str, int] = {}

    def read(self, entity: str, keys: Sequence[bytes]) -> tuple[bytes | None, list[bytes | None]]:
        """See the family's contract."""
        return self.read_many({entity: keys})[entity]

    def read_many(self, asked: Mapping[str, Sequence[bytes]]) -> dict[str, tuple[bytes | None, list[bytes | None]]]:
        """See the family's contract."""

        def read(db: Any) -> dict[str, tuple[bytes | None, list[bytes | None]]]:
            values: dict[str, Any] = {}
            for place, (entity, keys) in enumerate(asked.items()):
                space = self._space(db, entity)
                values |= {f"space{place}": -1 if space is None else space, f"keys{place}": list(keys)}
            found: list[dict[bytes | None, bytes | None]] = [{} for _ in asked]
            for place, key, record in _rows(db, _select(len(asked)), values):
                found[place][key] = record
            return {
                entity: (one.pop(None, None), list(map(one.get, keys)))
                for one, (entity, keys) in zip(found, asked.items(), strict=True)
            }

        return self._db.run(read)

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
        for start in range(0, len(keys), AT_ONCE):
            some = list(keys[start : start + AT_ONCE])

            def changed(db: Any, some: list[bytes] = some, start: int = start) -> None:
                with db.transaction():
                    # The head that names what was written waits for the disk, and with it all that came before.
                    db.execute("SET LOCAL synchronous_commit = off")
                    space = self._made_space(db, entity)
                    db.execute("SELECT pg_advisory_xact_lock(%s, %s)", [LOCK, space])
                    if fence:  # the head stays as it is until this is written
                        head = _rows(db, "SELECT head FROM easyrec_heads WHERE space = %s FOR SHARE", [space])
                        check_fence(self.shown, entity, head[0][0] if head else None, fence)
                    found = dict(_rows(db, FOUND, [space, some]))
                    old = [found.get(key) for key in some]
                    with intact(self.shown, entity, some, old):
                        made = change(old, start)
                    put = [(key, new) for key, new in zip(some, made, strict=True) if new and new != found.get(key)]
                    gone = [key for key, new in zip(some, made, strict=True) if not new and key in found]
                    if put:
                        with db.cursor() as cursor, cursor.copy(COPY) as copy:
                            copy.set_types(["bytea", "bytea"])
                            for row in put:
                                copy.write_row(row)
                        db.execute(UPSERT, [space])
                    if gone:
                        db.execute(DELETE, [space, gone])
                    number = _last(db, space) + 1  # others wait
                    db.execute(NOTE, [space, number, journal.packed(some)])
                    db.execute(FORGET, [space, number - journal.entries_kept(len(some))])

            self._db.run(changed)

    def changes(self, entity: str, since: bytes | None) -> tuple[bytes, list[bytes] | None]:
        """See the family's contract."""

        def read(db: Any) -> tuple[bytes, list[bytes] | None]:
            space = self._space(db, entity)
            if since is None or space is None:
                return b"%d" % (0 if space is None else _last(db, space)), None if since is None else []
            entries = _rows(db, LATER, [space, int(since)])
            if not entries or entries[0][0] != int(since):  # forgotten, or the database was put back to a former state
                last = _last(db, space)
                return b"%d" % last, [] if last == int(since) == 0 else None
            return b"%d" % entries[-1][0], [key for _, entry in entries[1:] for key in journal.unpacked(entry)]

        return self._db.run(read)

    def set_head(self, entity: str, new: bytes, old: bytes | None) -> bool:
        """See the family's contract."""
        return self._db.run(lambda db: bool(db.execute(SWAP, [new, self._made_space(db, entity), old]).rowcount == 1))

    def scan(self, entity: str, at_once: int = 1000) -> Iterator[list[tuple[bytes, bytes]]]:
        """See the family's contract."""
        after = b""

        def some(db: Any) -> list[tuple[bytes, bytes]]:
            space = self._space(db, entity)
            return [] if space is None else _rows(db, SCAN, [space, after, at_once])

        while found := self._db.run(some):
            yield found
            after = found[-1][0] + b"\0"

    def close(self) -> None:
        """Close what is open."""
        self._db.close()

    # ------------------------------------------------------------------------------------------- inside

    def _space(self, db: Any, entity: str) -> int | None:
        if entity not in self._spaces:
            found = db.execute(SPACE, [self.project, entity]).fetchone()
            if found is None:
                return None
            self._spaces[entity] = found[0]
        return self._spaces[entity]

    def _made_space(self, db: Any, entity: str) -> int:
        if self._space(db, entity) is None:
            db.execute(NEW_SPACE, [self.project, entity])
            # Not remembered: it may be rolled back.
            return int(db.execute(SPACE, [self.project, entity]).fetchone()[0])
        return self._spaces[entity]


def _last(db: Any, space: int) -> int:
    """The number of the last change; 0: there was none."""
    return int(db.execute(LAST, [space]).fetchone()[0])


@lru_cache(64)
def _select(entities: int) -> str:
    """Heads and records of so many entities: one statement sees one moment. The key of a head is null."""
    parts = []
    for place in range(entities):
        parts += [
            f"SELECT {place}::int4, NULL::bytea, head FROM easyrec_heads WHERE space = %(space{place})s",
            f"SELECT {place}::int4, key, record FROM easyrec_records "
            f"WHERE space = %(space{place})s AND key = ANY(%(keys{place})b)",
        ]
    return " UNION ALL ".join(parts)


def _rows(db: Any, statement: str, values: Any) -> list[Any]:
    with db.cursor(binary=True) as cursor:
        found: list[Any] = cursor.execute(statement, values, prepare=True).fetchall()
    return found
