"""Dead letters: what could not be read or written, in a file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from threading import Lock

from easyrec.errors import StoreError
from easyrec.stream.sources import Malformed


class DeadLetters:
    """A file of what could not be read or written, a JSON object a line. Any thread may write.

    Args:
        path: The file; what is there stays.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._lock = path, Lock()

    def write(self, letters: Iterable[Malformed]) -> None:
        """Add some, durably.

        Raises:
            StoreError: The disk refuses.
        """
        lines = [
            json.dumps({"place": one.place, "reason": one.reason, "content": one.content}, ensure_ascii=False)
            for one in letters
        ]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock, self.path.open("a", encoding="utf-8") as opened:
                opened.write("".join(f"{line}\n" for line in lines))
                opened.flush()
                os.fsync(opened.fileno())
        except OSError as error:
            raise StoreError(f"cannot write {self.path}: {error.strerror or error}") from error
