"""`blocked`: items of a list in a file, which counts anew as soon as it is written anew."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from easyrec.errors import DataError
from serving.engine.filters import Filter, FilterConfig
from serving.engine.rows import Mask
from serving.server.events import tell


class Config(FilterConfig):
    """Config of `blocked`."""

    type: Literal["blocked"] = "blocked"
    path: str = Field(min_length=1)
    """A text file with a key of the catalogue on each line; `#` begins a comment. Without the file nothing is blocked."""


class Blocked(Filter):
    """A mask that follows the file. A file that cannot be read changes nothing: what was blocked stays so."""

    def prepare(self) -> None:
        """Read the file.

        Raises:
            DataError: It is there, and cannot be read.
        """
        self._state = self._look()
        self._mask = self._read()

    def _read(self) -> Mask:
        path, text = self.config.path, ""
        try:
            if self._state is not None:
                text = Path(path).read_text(encoding="utf-8")
            else:
                tell(logging.WARNING, "there is no list of blocked items, so nothing is blocked", path=path)
        except (OSError, ValueError) as error:
            raise DataError(f"a list of blocked items cannot be read: {str(error)[:200]}", file=path) from None
        lines = [line.partition("#")[0].strip() for line in text.splitlines()]
        places = self.rows.find([line for line in lines if line])
        mask = np.ones(len(self.rows), bool)
        mask[places[places >= 0]] = False
        return mask

    def _look(self) -> tuple[int, int] | None:
        try:
            stat = Path(self.config.path).stat()
        except OSError:
            return None
        return (stat.st_size, stat.st_mtime_ns)

    def refresh(self) -> None:
        """Read it again where it was written anew."""
        state = self._look()
        if state == self._state:
            return
        self._state = state
        try:
            self._mask = self._read()
        except DataError as error:
            tell(logging.ERROR, "what was blocked stays so", why=str(error))
            return
        self.version += 1

    def everywhere(self) -> Mask | None:
        """See the contract."""
        return self._mask
