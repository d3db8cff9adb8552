"""`Vectors`: what `easyrec embed` wrote of a catalogue, read again when it was written anew."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from easyrec.retrieval.items import ITEMS, Items
from feature_generator.errors import FeatureGeneratorError
from serving.server.events import tell


@dataclass(frozen=True)
class Held:
    """Vectors that were read.

    Attributes:
        number: Which reading.
        items: They.
    """

    number: int
    items: Items


class Vectors:
    """A folder of vectors.

    Args:
        path: The folder.

    Attributes:
        held: What was read last; None: nothing could be.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.held: Held | None = None
        self._state: tuple[int, int] | None = None
        self._damaged: tuple[int, int] | None = None
        self._lock = threading.Lock()
        self.refresh()

    def refresh(self) -> None:
        """Read the folder where it was written anew."""
        with self._lock:
            state = self._look()
            if state is None or state == self._state:
                return
            try:
                items = Items(Path(self.path), None)
                items.index  # noqa: B018 (it is read here, and not by the first request)
            except (FeatureGeneratorError, OSError, pa.ArrowException) as error:
                if state != self._damaged:  # it is tried again, as it may be written at this moment, and told once
                    self._damaged = state
                    tell(logging.ERROR, "vectors of items cannot be read", items=self.path, why=str(error)[:300])
                return
            self._state, self._damaged = state, None
            self.held = Held(self.held.number + 1 if self.held is not None else 0, items)

    def _look(self) -> tuple[int, int] | None:
        found = [Path(self.path) / name for name in (ITEMS, "index/index.json")]
        try:
            stats = [path.stat() for path in found]
        except OSError:
            return None
        return (stats[0].st_mtime_ns, stats[1].st_mtime_ns)
