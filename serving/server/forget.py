"""Deletes the rows of one user from a request log, and from other Arrow files in its folder that hold its columns.

A file is locked while it is read, written anew without those rows, and put in place by one rename: a reader sees the old
rows or the new ones, and a server that writes to the file goes on in another one.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from easyrec.durable import sync
from easyrec.errors import DataError, RunError
from serving.server.personal import CHECK, HASHED, fingerprint, keyed, text_of

PATTERNS = ("*.arrows", "*.arrow")
MAGIC = b"ARROW1"
"""Arrow's other form, which can be read from any place in it."""
WRITING = ".forgetting"


@dataclass
class Forgotten:
    """What was deleted.

    Attributes:
        files: Files that were read.
        rows: Rows in them.
        deleted: Rows that were the user's, and are no more.
        rewritten: Files that were written anew, or removed where nothing else was in them.
        untold: Files that do not tell whose their rows are, and why.
    """

    files: int = 0
    rows: int = 0
    deleted: int = 0
    rewritten: int = 0
    untold: dict[str, str] = field(default_factory=dict)


def forget(log: str | os.PathLike[str], column: str, value: str, keys: Sequence[str] = ()) -> Forgotten:
    """Delete the rows of one user.

    Args:
        log: The folder of the log.
        column: The column that tells users apart.
        value: The user's value of it, as text.
        keys: Values of `hash_key` by which rows may have been written.

    Raises:
        DataError: There is no such folder, or a file cannot be read.
        RunError: The disk refuses, or its file system knows no locks.
    """
    folder = Path(log)
    if not folder.is_dir():
        raise DataError("there is no such folder", file=str(folder))
    for left in folder.rglob(f".*{WRITING}"):
        left.unlink(missing_ok=True)  # of one that was killed
    found = Forgotten()
    for path in sorted(path for pattern in PATTERNS for path in folder.rglob(pattern) if path.is_file()):
        _in_file(path, column, value, keys, found)
    return found


def _in_file(path: Path, column: str, value: str, keys: Sequence[str], found: Forgotten) -> None:
    try:
        with _locked(path) as file:
            if file is not None:
                _one(path, file, column, value, keys, found)
    except pa.ArrowException as error:
        raise DataError(f"is no Arrow file: {error}", file=str(path)) from None
    except OSError as error:
        raise RunError(f"{path}: cannot be rewritten: {error.strerror or error}") from error


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO | None]:
    """The file, ours alone; None where it has gone."""
    while True:
        try:
            file = path.open("rb")
        except FileNotFoundError:
            yield None
            return
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                same = os.path.samestat(path.stat(), os.fstat(file.fileno()))
            except FileNotFoundError:
                same = False
            if same:
                yield file
                return


def _one(path: Path, file: BinaryIO, column: str, value: str, keys: Sequence[str], found: Forgotten) -> None:
    size = os.fstat(file.fileno()).st_size
    if not size:
        return
    batches, schema, whole = _read(file)
    found.files += 1
    found.rows += sum(batch.num_rows for batch in batches)
    looked = _Wanted(schema, column, value, keys)
    kept = [_without(batch, looked) for batch in batches]
    deleted = sum(b.num_rows - k.num_rows for b, k in zip(batches, kept, strict=True))
    if looked.why:
        found.untold[str(path)] = looked.why
    if not deleted and whole:
        return
    # What a killed process left at the end may be the user's, so it goes too.
    found.deleted += deleted
    found.rewritten += 1
    if not any(batch.num_rows for batch in kept):
        path.unlink()
        return
    _rewrite(path, file, schema, [batch for batch in kept if batch.num_rows])


class _Wanted:
    """Where in the rows of a file a user stands.

    Attributes:
        why: Why that cannot be told of all rows; empty where it can.
    """

    def __init__(self, schema: pa.Schema, column: str, value: str, keys: Sequence[str]) -> None:
        self.value, self.why = value, ""
        self.plain = [n for n in (f"user:{column}", f"context:{column}", column) if n in schema.names]
        self.hashed = [n for n in (f"{HASHED}:user:{column}", f"{HASHED}:context:{column}") if n in schema.names]
        used = (schema.metadata or {}).get(CHECK.encode(), b"").decode()
        fitting = [key for key in keys if fingerprint(key) == used] if self.hashed else []
        self.hashes = {keyed(key, column, value) for key in fitting}
        names = (schema.metadata or {}).get(b"redacted", b"").decode().split(",")
        if self.hashed and not fitting:
            self.why = f"'{column}' is hashed by a key that was not given"
        elif not self.hashed and column in names:
            self.why = f"'{column}' was left out of it"
        elif not self.hashed and not self.plain:
            self.why = f"has no column '{column}'"

    def rows(self, batch: pa.RecordBatch) -> list[bool]:
        """Of each row, whether it is somebody else's."""
        kept = [True] * batch.num_rows
        for names, wanted in ((self.plain, {self.value}), (self.hashed, self.hashes)):
            for name in names:
                values: list[Any] = batch.column(name).to_pylist()
                kept = [keep and text_of(one) not in wanted for keep, one in zip(kept, values, strict=True)]
        return kept


def _without(batch: pa.RecordBatch, looked: _Wanted) -> pa.RecordBatch:
    kept = looked.rows(batch)
    return batch if all(kept) else batch.filter(pa.array(kept, pa.bool_()))


def _read(file: BinaryIO) -> tuple[list[pa.RecordBatch], pa.Schema, bool]:
    """The batches of a file, and whether it ends where one does."""
    if file.read(len(MAGIC)) == MAGIC:
        reader = pa.ipc.open_file(file)
        return [reader.get_batch(i) for i in range(reader.num_record_batches)], reader.schema, True
    file.seek(0)
    stream = pa.ipc.open_stream(file)
    batches = []
    try:
        while True:
            batches.append(stream.read_next_batch())
    except StopIteration:
        return batches, stream.schema, True
    except (OSError, pa.ArrowException):
        return batches, stream.schema, False


def _rewrite(path: Path, file: BinaryIO, schema: pa.Schema, batches: list[pa.RecordBatch]) -> None:
    file.seek(0)
    make = pa.ipc.new_file if file.read(len(MAGIC)) == MAGIC else pa.ipc.new_stream
    told, written = os.fstat(file.fileno()), path.with_name(f".{path.name}{WRITING}")
    with written.open("wb") as sink, make(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    written.chmod(told.st_mode & 0o777)
    os.utime(written, ns=(told.st_atime_ns, told.st_mtime_ns))  # it is not to be kept longer than it was
    sync(written)
    written.replace(path)
    sync(path.parent)
