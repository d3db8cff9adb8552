"""Files that are there whole or not at all, also after a power cut."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from easyrec.errors import RunError


def sync(path: Path) -> None:
    """Make a file's content, or a folder's entries, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write a file, all of it or nothing.

    Raises:
        RunError: The disk refuses; a former file stays.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, all of it or nothing.

    Raises:
        RunError: The disk refuses; a former file stays.
    """
    partial = path.with_name(f".{path.name}.writing")
    try:
        partial.write_bytes(content)
        sync(partial)
        partial.replace(path)
        sync(path.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error


def write_ahead(
    db: sqlite3.Connection,
    patience: float,
    *,
    now: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Let a database keep the log of what is written beside its file.

    SQLite itself doesn't wait where two processes change this at once: one of them is told that the database is locked,
    whatever its time-out.

    Args:
        db: A connection outside of any transaction.
        patience: Seconds to wait for others.
        now: Seconds that never run backwards.
        wait: Lets so many seconds pass.

    Raises:
        sqlite3.OperationalError: Others hold it for longer, or it cannot be written.
    """
    end = now() + patience
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:  # noqa: PERF203 (a wait is what it is for)
            if "locked" not in str(error) or now() >= end:  # a full disk is told at once
                raise
            wait(0.01)
