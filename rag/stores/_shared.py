"""A lock that any number of readers share and one writer has for itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Shared:
    """Readers let no writer in while they read; a writer that waits lets no new reader in."""

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._readers, self._writing, self._waiting = 0, False, 0

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Inside of the block nothing changes."""
        with self._free:
            while self._writing or self._waiting:
                self._free.wait()
            self._readers += 1
        try:
            yield
        finally:
            with self._free:
                self._readers -= 1
                self._free.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Inside of the block nobody else reads or writes."""
        with self._free:
            self._waiting += 1
            while self._writing or self._readers:
                self._free.wait()
            self._waiting -= 1
            self._writing = True
        try:
            yield
        finally:
            with self._free:
                self._writing = False
                self._free.notify_all()
