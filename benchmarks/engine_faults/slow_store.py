"""`slow_store`: an online store whose reads take half a second once a file says so, for `benchmarks/engine.py`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from easyrec.store.online import OnlineStore
from easyrec.store.online.sqlite import Config as SqliteConfig
from easyrec.store.online.sqlite import SqliteStore

SLOW_S = 0.5


class Config(SqliteConfig):
    """Config of `slow_store`."""

    type: Literal["slow_store"] = "slow_store"
    when: str
    """The file."""

    def open(self, project: str) -> OnlineStore:
        """See the family's contract."""
        return Slow(Path(self.path), project, self.patience_seconds, Path(self.when))


class Slow(SqliteStore):
    """A SQLite store that can be slow."""

    def __init__(self, path: Path, project: str, patience: float, when: Path) -> None:
        super().__init__(path, project, patience)
        self._when = when

    def read(self, entity: str, keys: Sequence[bytes]) -> tuple[bytes | None, list[bytes | None]]:
        """Late, as the file says."""
        if self._when.exists():
            time.sleep(SLOW_S)
        return super().read(entity, keys)
