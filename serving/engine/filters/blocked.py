"""`blocked`: items of a list in a file, which counts anew as soon as it is written anew."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from serving.engine.filters import Filter, FilterConfig
from serving.engine.rows import Mask
from serving.server.events import tell


class Config(FilterConfig):
    """Config of `blocked`."""

    type: Literal["blocked"] = "blocked"
    path: str = Field(min_length=1)
    """A text file with a key of the catalogue on each line; `#` begins a comment. Without the file nothing is blocked."""


class Blocked(Filter):
    """A mask that follows the file."""

    def prepare(self) -> None:
        """Read the file."""
        self._state = self._look()
        lines: list[str] = []
        try:
            text = Path(self.config.path).read_text(encoding="utf-8") if self._state else ""
            lines = [line.partition("#")[0].strip() for line in text.splitlines()]
        except (OSError, ValueError) as error:
            tell(logging.ERROR, "a list of blocked items cannot be read", path=self.config.path, why=str(error)[:200])
        places = self.rows.find([line for line in lines if line])
        self._mask = np.ones(len(self.rows), bool)
        self._mask[places[places >= 0]] = False

    def _look(self) -> tuple[int, int] | None:
        try:
            stat = Path(self.config.path).stat()
        except OSError:
            return None
        return (stat.st_size, stat.st_mtime_ns)

    def refresh(self) -> None:
        """Read it again where it was written anew."""
        if self._look() != self._state:
            self.prepare()
            self.version += 1

    def everywhere(self) -> Mask | None:
        """See the contract."""
        return self._mask
