"""`sqlite`: a queue in one file, for the processes of one machine.

Time is that machine's monotonic clock, which its processes share and nobody sets. It starts anew with the machine: a
lease that seems to be taken in the future is one of before, and has run out.
"""

# ruff: noqa: S608 (statements are made of this file's constants; values are bound)

from __future__ import annotations

import re
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any, Literal
from urllib.parse import quote

from easyrec.data.queues import Entry, Idle, Lease, QueueConfig, Status, WorkQueue, expanded, silent
from easyrec.databases import transaction
from easyrec.durable import write_ahead
from easyrec.errors import QueueError

APPLICATION = 0x65617379
"""Marks a file of ours: `PRAGMA application_id`."""
VERSION = 1
TABLES = """
CREATE TABLE queues (
  name TEXT NOT NULL, epoch INTEGER NOT NULL, job TEXT NOT NULL, attempts INTEGER NOT NULL, slices INTEGER NOT NULL,
  PRIMARY KEY (name, epoch));
CREATE TABLE slices (
  name TEXT NOT NULL, epoch INTEGER NOT NULL, slice TEXT NOT NULL, position INTEGER NOT NULL,
  state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'leased', 'done', 'failed')),
  attempts INTEGER NOT NULL DEFAULT 0, token TEXT NOT NULL DEFAULT '', worker TEXT NOT NULL DEFAULT '',
  taken REAL, heard REAL, seconds REAL, rows INTEGER, reason TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (name, epoch, slice));
CREATE INDEX slices_by_state ON slices (name, epoch, state, attempts, position);
"""
MINE = "name = :name AND epoch = :epoch"
FREE = f"{MINE} AND (state = 'waiting' OR state = 'leased' AND (:now >= heard + seconds OR :now < heard))"


class Config(QueueConfig):
    """Config of `sqlite`."""

    type: Literal["sqlite"] = "sqlite"
    path: str
    """The file, on a disk of this machine; it is made where it is not there."""
    patience_seconds: float = 30.0
    """How long to wait for other processes that write."""

    @classmethod
    def of_uri(cls, uri: str, options: Mapping[str, str]) -> dict[str, Any]:
        """`sqlite:work.db`, or `sqlite:///srv/work.db` for `/srv/work.db`."""
        del options
        return {"path": re.sub(r"^sqlite:(//(?=/))?", "", uri)}

    def open(self, epoch: int = 0) -> WorkQueue:
        """The queue of an epoch."""
        return SqliteQueue(Path(expanded(self.path)), self.name, epoch, patience=self.patience_seconds)


class SqliteQueue(WorkQueue):
    """A queue in a file of SQLite.

    Args:
        path: The file.
        name: Of this queue; a file may hold several.
        epoch: Which of its epochs.
        clock: Monotonic seconds that all processes of the machine share.
        patience: Seconds to wait for other writers.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        epoch: int = 0,
        clock: Callable[[], float] = time.monotonic,
        patience: float = 30.0,
    ) -> None:
        self.path, self.key, self.clock, self.patience = path, {"name": name, "epoch": epoch}, clock, patience
        self.shown = f"{path} (queue '{name}', epoch {epoch})"
        self._lock = RLock()
        self._open: sqlite3.Connection | None = None

    def _create(self, job: str, slices: list[str], attempts: int) -> tuple[str, list[str]] | None:
        with self._lock, self._told():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._changing(make=True) as db:
                known = db.execute(f"SELECT job FROM queues WHERE {MINE}", self.key).fetchone()
                if known is not None:
                    order = f"SELECT slice FROM slices WHERE {MINE} ORDER BY position"
                    return known[0], [row[0] for row in db.execute(order, self.key)]
                db.execute(
                    "INSERT INTO queues VALUES (:name, :epoch, :job, :attempts, :slices)",
                    {**self.key, "job": job, "attempts": attempts, "slices": len(slices)},
                )
                rows = [{**self.key, "slice": slice, "position": place} for place, slice in enumerate(slices)]
                insert = "INSERT INTO slices (name, epoch, slice, position) VALUES (:name, :epoch, :slice, :position)"
                db.executemany(insert, rows)
                return None

    def lease(self, worker: str, seconds: float) -> Lease | Idle:
        """See the family's contract."""
        with self._lock, self._told(), self._changing() as db:
            most, now, token = self._queue(db)[1], self.clock(), secrets.token_hex(8)
            given = {**self.key, "now": now, "most": most}
            over = f"SELECT slice, worker, seconds FROM slices WHERE {FREE} AND attempts >= :most"
            for slice, who, held in db.execute(over, given).fetchall():
                self._set(db, slice, state="failed", token="", reason=silent(who, held))
            order = f"SELECT slice, attempts FROM slices WHERE {FREE} ORDER BY attempts, position LIMIT 1"
            found = db.execute(order, given).fetchone()
            if found is None:
                left = f"SELECT count(*) FROM slices WHERE {MINE} AND state IN ('waiting', 'leased')"
                return Idle.WAIT if db.execute(left, self.key).fetchone()[0] else Idle.DONE
            attempts = found[1] + 1
            new = {"attempts": attempts, "token": token, "worker": worker, "taken": now, "heard": now}
            self._set(db, found[0], state="leased", seconds=seconds, **new)
            return Lease(found[0], token, attempts, seconds, worker)

    def renew(self, lease: Lease) -> None:
        """See the family's contract."""
        with self._lock, self._told(), self._changing() as db:
            self._held(db, lease)
            self._set(db, lease.slice, heard=self.clock())

    def complete(self, lease: Lease, rows: int) -> None:
        """See the family's contract."""
        with self._lock, self._told(), self._changing() as db:
            if self._held(db, lease, done=True) == "leased":
                self._set(db, lease.slice, state="done", rows=rows, reason="")

    def fail(self, lease: Lease, reason: str) -> None:
        """See the family's contract."""
        with self._lock, self._told(), self._changing() as db:
            self._held(db, lease)
            state = "failed" if lease.attempt >= self._queue(db)[1] else "waiting"
            self._set(db, lease.slice, state=state, token="", reason=reason)

    def release(self, lease: Lease) -> None:
        """See the family's contract."""
        with self._lock, self._told(), self._changing() as db:
            self._held(db, lease)
            self._set(db, lease.slice, state="waiting", token="", attempts=lease.attempt - 1)

    def again(self, slices: Sequence[str]) -> None:
        """See the family's contract."""
        with self._lock, self._told(), self._changing() as db:
            self._queue(db)
            change = "UPDATE slices SET state = 'waiting', attempts = 0, token = '', rows = NULL"
            where = f"{MINE} AND slice = :slice AND state IN ('done', 'failed')"
            db.executemany(f"{change} WHERE {where}", [{**self.key, "slice": slice} for slice in slices])

    def status(self) -> Status:
        """See the family's contract."""
        with self._lock, self._told(), self._changing() as db:
            job, attempts, total = self._queue(db)
            columns = "slice, state, attempts, worker, taken, rows, reason"
            order = f"SELECT {columns} FROM slices WHERE {MINE} ORDER BY position"
            now, entries = self.clock(), []
            for slice, state, tried, worker, taken, rows, reason in db.execute(order, self.key):
                leased = state == "leased"
                who = worker if state in ("leased", "done") else ""
                why = reason if state in ("waiting", "failed") else ""
                age = max(0.0, now - taken) if leased else None
                entries.append(Entry(slice, state, tried, who, age, rows if state == "done" else None, why))
            if len(entries) != total:
                raise self.damaged(f"it holds {len(entries)} of {total} slices")
            return Status(job, attempts, entries)

    def remove(self) -> None:
        """Remove this queue from the file, which stays."""
        with self._lock, self._told():
            if self.path.exists():
                with self._changing() as db:
                    for table in ("slices", "queues"):
                        db.execute(f"DELETE FROM {table} WHERE {MINE}", self.key)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._open is not None:
                self._open.close()
                self._open = None

    # ------------------------------------------------------------------------------------------- inside

    def _queue(self, db: sqlite3.Connection) -> tuple[str, int, int]:
        """Job, attempts and number of slices."""
        found = db.execute(f"SELECT job, attempts, slices FROM queues WHERE {MINE}", self.key).fetchone()
        if found is None:
            raise self.gone()
        return found[0], found[1], found[2]

    def _held(self, db: sqlite3.Connection, lease: Lease, *, done: bool = False) -> str:
        """The state of a slice whose newest lease this is."""
        self._queue(db)
        one = f"SELECT state, token FROM slices WHERE {MINE} AND slice = :slice"
        found = db.execute(one, {**self.key, "slice": lease.slice}).fetchone()
        if found is None:
            raise self.damaged(f"slice '{lease.slice}' is missing")
        state: str = found[0]
        if found[1] != lease.token or (state != "leased" and not (done and state == "done")):
            raise self.lost(lease)
        return state

    def _set(self, db: sqlite3.Connection, slice: str, **values: Any) -> None:
        change = ", ".join(f"{column} = :{column}" for column in values)
        where = f"{MINE} AND slice = :slice"
        db.execute(f"UPDATE slices SET {change} WHERE {where}", {**self.key, **values, "slice": slice})

    @contextmanager
    def _changing(self, make: bool = False) -> Iterator[sqlite3.Connection]:
        """One transaction: the file's content before or after it, never between."""
        db = self._connection(make)
        with transaction(db):
            if make:
                self._prepare(db)
            yield db

    def _connection(self, make: bool) -> sqlite3.Connection:
        if self._open is not None and not self.path.exists():  # removed: what is open is a file without a name
            self.close()
        if self._open is None:
            if not make and not self.path.exists():
                raise self.gone()
            place = f"file:{quote(str(self.path.absolute()))}?mode={'rwc' if make else 'rw'}"
            db = sqlite3.connect(place, uri=True, timeout=self.patience, isolation_level=None, check_same_thread=False)
            try:
                db.execute("BEGIN")  # both are of one moment: another process may be making the file
                ours = db.execute("PRAGMA application_id").fetchone()[0]
                tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
                db.execute("COMMIT")
                if tables and ours != APPLICATION:
                    raise QueueError(f"{self.path} is a database of something else: name another file")
                write_ahead(db, self.patience)
                db.execute("PRAGMA synchronous = FULL")
            except BaseException:
                db.close()
                raise
            self._open = db
        return self._open

    def _prepare(self, db: sqlite3.Connection) -> None:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, VERSION):
            raise QueueError(f"{self.path} was made by another version of this program (format {version})")
        if not version:
            for statement in filter(str.strip, TABLES.split(";")):
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION}")
            db.execute(f"PRAGMA user_version = {VERSION}")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of the database in words."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                raise self.gone() from error
            text = f"other processes have held it for {self.patience:g} s" if "locked" in str(error) else str(error)
            raise QueueError(f"{self.shown} cannot be used: {text}") from error
        except sqlite3.DatabaseError as error:
            raise self.damaged(str(error)) from error
        except OSError as error:
            raise QueueError(f"{self.shown} cannot be made: {error.strerror or error}") from error
