"""`whole_file`: a file that is there whole or not at all, also after a power cut."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from feature_generator.errors import OutputError


@contextmanager
def whole_file(path: Path, overwrite: bool) -> Iterator[Path]:
    """The name of a new file beside `path` that becomes `path` where the block ends well.

    A file that a killed run left behind under that name is written over.

    Raises:
        OutputError: `path` is there and `overwrite` is not wanted, another process writes it, or the disk refuses.
    """
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} is there already: --overwrite (overwrite=True) replaces it")
    partial = path.with_name(f".{path.name}.writing")
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(partial, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OutputError(f"another process is writing {path}") from None
        if not (partial.exists() and os.path.samestat(partial.stat(), os.fstat(lock))):
            raise OutputError(f"another process has just written {path}")
        try:
            with _told(path):
                yield partial
                os.fsync(lock)
                partial.replace(path)
                _sync(path.parent)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    finally:
        os.close(lock)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Errors of the disk in words."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise OutputError(f"cannot write {path}: {reason}") from error


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
