"""`lmdb`: a state in a memory-mapped file; the fastest where there are many keys."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from easyrec.errors import MissingExtra, StoreError
from easyrec.stream.state import Changes, State, StateConfig

try:
    import fcntl
except ModuleNotFoundError:  # not on Windows, where two processes are not kept apart
    fcntl = None  # type: ignore[assignment]

LONGEST_KEY = 480
"""Bytes of a key: LMDB takes 511, of which the name of the space has a part."""


class Config(StateConfig):
    """Config of `lmdb`."""

    type: Literal["lmdb"] = "lmdb"
    path: str | None = None
    """The folder, on a disk of this machine; it is made where it is not there."""
    gigabytes: float = Field(64.0, gt=0.0)
    """How large the file may become; it takes what it holds."""

    def place(self, default: Path) -> Path:
        """See the family's contract."""
        return default.with_name(f"{default.name}.lmdb") if self.path is None else Path(self.path)

    def open(self, default: Path) -> LmdbState:
        """See the family's contract."""
        return LmdbState(self.place(default), self.gigabytes)


class LmdbState(State):
    """Entries in an environment that this process holds for itself.

    Args:
        path: The folder.
        gigabytes: How large the file may become.
    """

    def __init__(self, path: Path, gigabytes: float = 64.0) -> None:
        try:
            import lmdb  # noqa: PLC0415 (an extra)
        except ModuleNotFoundError:
            raise MissingExtra("lmdb", "lmdb") from None
        self.shown, self._lmdb = str(path), lmdb
        self._env: Any = None
        with self._told():
            path.mkdir(parents=True, exist_ok=True)
            self._held = os.open(path / "held", os.O_RDWR | os.O_CREAT, 0o644)
            try:
                if fcntl is not None:
                    fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._env = lmdb.open(str(path), map_size=int(gigabytes * 2**30))
            except BlockingIOError:
                os.close(self._held)
                raise StoreError(f"the state {path} cannot be used: another process uses it") from None
            except BaseException:
                os.close(self._held)
                raise

    def get(self, space: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """See the family's contract."""
        prefix = _prefix(space)
        with self._told(), self._env.begin() as reading:
            return [reading.get(prefix + key) for key in keys]

    def scan(
        self, space: str, after: bytes = b"", most: int = 1000, before: bytes | None = None
    ) -> list[tuple[bytes, bytes]]:
        """See the family's contract."""
        prefix, found = _prefix(space), list[tuple[bytes, bytes]]()
        with self._told(), self._env.begin() as reading:
            cursor = reading.cursor()
            there = cursor.set_range(prefix + after + (b"\0" if after else b""))
            while there and len(found) < most:
                place, value = cursor.item()
                if not place.startswith(prefix) or (before is not None and place >= prefix + before):
                    break
                found.append((place[len(prefix) :], value))
                there = cursor.next()
        return found

    def commit(self, changes: Changes) -> None:
        """See the family's contract."""
        with self._told(), self._env.begin(write=True) as writing:
            for space, keys, values in changes:
                prefix = _prefix(space)
                longest = max(map(len, keys), default=0)
                if longest > LONGEST_KEY:
                    raise StoreError(f"{self.shown} takes keys of at most {LONGEST_KEY} bytes, but one has {longest}")
                for key, value in sorted(zip(keys, values, strict=True)):
                    if value:
                        writing.put(prefix + key, value)
                    else:
                        writing.delete(prefix + key)

    def close(self) -> None:
        """See the family's contract."""
        if self._env is not None:
            self._env.close()
            self._env = None
            os.close(self._held)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of the database in words."""
        try:
            yield
        except self._lmdb.MapFullError:
            raise StoreError(f"the state {self.shown} is full: set 'gigabytes' higher") from None
        except (self._lmdb.Error, OSError) as error:
            raise StoreError(f"the state {self.shown} cannot be used: {error}") from error


def _prefix(space: str) -> bytes:
    """The space in front of a key; its name holds no zero byte."""
    return f"{space}\0".encode()
