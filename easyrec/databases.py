"""Files of SQLite that are ours: made, recognised, and shared by processes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from easyrec.durable import write_ahead
from easyrec.errors import EasyRecError, StoreError


def open_file(
    path: Path,
    application: int,
    version: int,
    tables: Sequence[str],
    patience: float,
    error: type[EasyRecError] = StoreError,
) -> sqlite3.Connection:
    """A connection to a file, which is made where it is not there; any thread may use it.

    Args:
        path: The file.
        application: Marks its kind: `PRAGMA application_id`.
        version: Of its tables.
        tables: Statements that make them.
        patience: Seconds to wait for other processes that write.
        error: What is raised.

    Raises:
        StoreError: Or another `error`: it is a database of something else, or of another version of this program, or cannot be made.
        sqlite3.Error: What else the database says.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as refused:
        raise error(f"{path} cannot be made: {refused.strerror or refused}") from refused
    db = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
    try:
        db.execute("BEGIN")  # what is looked at is of one moment, and waits for nobody who writes
        made = _is_made(db, path, application, version, error)
        db.execute("COMMIT")
        write_ahead(db, patience)  # not before it is known to be ours
        if not made:
            db.execute("BEGIN IMMEDIATE")
            if not _is_made(db, path, application, version, error):  # by another process meanwhile
                for statement in tables:
                    db.execute(statement)
                db.execute(f"PRAGMA application_id = {application}")
                db.execute(f"PRAGMA user_version = {version}")
            db.execute("COMMIT")
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """What is written inside of the block is there whole or not at all; other processes that write wait."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


@contextmanager
def told_of(path: Path) -> Iterator[None]:
    """What a database says inside of the block is told as a `StoreError` of its file."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from None


def _is_made(db: sqlite3.Connection, path: Path, application: int, version: int, error: type[EasyRecError]) -> bool:
    """Whether the file has our tables, else it is empty."""
    ours: bool = db.execute("PRAGMA application_id").fetchone()[0] == application
    found = db.execute("PRAGMA user_version").fetchone()[0]
    if not ours and db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise error(f"{path} is a database of something else: name another file")
    if ours and found != version:
        raise error(f"{path} was made by another version of this program (format {found})")
    return ours
