"""`Shelf`: the files of the engine's catalogue, read again when they were written anew."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds

from easyrec.errors import DataError, nearest
from feature_generator.errors import FeatureGeneratorError
from serving.engine.config import ShelfConfig
from serving.engine.rows import Rows
from serving.server.events import tell
from serving.server.items import source_files


class Shelf:
    """The catalogue's source.

    Args:
        config: Where it is.
    """

    def __init__(self, config: ShelfConfig) -> None:
        self.config = config
        self._state: tuple[tuple[str, int, int], ...] = ()
        self._looked = 0.0

    def read(self) -> Rows:
        """All items.

        Raises:
            DataError: The files cannot be read, or an item has no key or is there twice.
        """
        self._looked, self._state = time.monotonic(), self._look()
        paths = [path for path, _, _ in self._state]
        try:
            table = ds.dataset(paths, format=self.config.source.format).to_table()
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"cannot be read: {str(error).splitlines()[0][:300]}", file=paths[0]) from None
        if not table.num_rows:
            raise DataError("holds no item", file=paths[0])
        title = self.config.title
        if title is not None and title not in table.column_names:
            told = f"the catalogue has no such column{nearest(title, table.column_names)}; catalogue.title names it"
            raise DataError(told, column=title, file=paths[0])
        return Rows(table, self.config.key)

    def watch(self) -> Rows | None:
        """All items, where the files were written anew and it is time to look; None: what was read still holds."""
        if not self.config.refresh_s or time.monotonic() - self._looked < self.config.refresh_s:
            return None
        self._looked, former = time.monotonic(), self._state
        try:
            return self.read() if self._look() != former else None
        except FeatureGeneratorError as error:
            self._state = former
            tell(logging.ERROR, "the catalogue could not be read again", why=str(error))
            return None

    def _look(self) -> tuple[tuple[str, int, int], ...]:
        stats: list[tuple[str, int, int]] = []
        for path in source_files(self.config.source):
            try:
                stat = Path(path).stat()
            except OSError as error:
                raise DataError(f"cannot be read: {error.strerror}", file=str(path)) from None
            stats.append((str(path), stat.st_size, stat.st_mtime_ns))
        return tuple(stats)
