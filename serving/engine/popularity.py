"""How popular items are: by a file, a column of the catalogue, and by what was counted live."""

from __future__ import annotations

import time

import numpy as np
import pyarrow as pa
from pydantic import Field

from easyrec.errors import DataError
from feature_generator.config import StrictModel
from serving.engine.rows import Floats, Rows
from serving.engine.tables import Table
from serving.engine.world import World


class FileConfig(StrictModel):
    """Counts of items in a file."""

    path: str = Field(min_length=1)
    """Parquet, with the catalogue's key; it is read again when it changes."""
    score: str = "score"
    """Column with how popular an item is, or how often it was taken."""
    time: str | None = None
    """Column with when: rows of several times add up, and old ones count less by `half_life_s`."""


class PopularityConfig(StrictModel):
    """What is popular."""

    file: FileConfig | None = None
    """Counts that were made elsewhere; they count beside those of now."""
    by: str | None = Field(None, min_length=1)
    """A column of the catalogue that says how popular an item is."""
    half_life_s: float = Field(86_400.0, gt=0.0)
    """What is so old counts half: short is what is popular this hour, long what always is."""
    live: bool = True
    """Whether clicks and the like of `POST /events` count."""


class Popularity:
    """How popular each item is.

    Args:
        config: What makes it so.
        world: What all requests share.
        rows: The catalogue.

    Raises:
        DataError: A file or a column is not as it must be.
    """

    def __init__(self, config: PopularityConfig, world: World, rows: Rows) -> None:
        self.config, self.world, self.rows = config, world, rows
        self._seen, self._looked = -1, 0.0
        self._live = world.live.decayed(config.half_life_s) if config.live else None
        self._file = None if config.file is None else Table(config.file.path)
        self._base: Floats = np.zeros(len(rows)) if config.by is None else np.nan_to_num(rows.numbers(config.by))
        self._of_file: Floats = np.zeros(len(rows))
        self._read()

    def refresh(self) -> bool:
        """Whether it has changed since it was asked last."""
        changed = self._file is not None and self._file.changed() and self._read()
        seen = self.world.live.changes if self._live is not None else 0
        pause = min(60.0, max(1.0, self.config.half_life_s / 1000.0))
        if seen != self._seen and time.monotonic() - self._looked >= pause:
            changed = True
        return changed

    def scores(self) -> Floats:
        """(N,) how popular each is; larger is more."""
        self._seen, self._looked = self.world.live.changes, time.monotonic()
        found = self._base + self._of_file
        if self._live is not None:
            found = found + self._live.at(self.world.live.newest)
        return found

    def _read(self) -> bool:
        source = self.config.file
        if source is None or self._file is None:
            return False
        table = self._file.table([self.rows.key, source.score, *([source.time] if source.time else [])])
        places = self.rows.find(table.column(self.rows.key).combine_chunks())
        counts = table.column(source.score).cast(pa.float64()).to_numpy()
        if source.time is not None:
            times = Rows(table.append_column("__row", pa.array(np.arange(len(table)))), "__row").numbers(source.time)
            newest = np.nanmax(times) if len(times) else 0.0
            counts = counts * np.exp2((times - newest) / (1000.0 * self.config.half_life_s))
        if not np.isfinite(counts).all():
            raise DataError("must be finite numbers", file=source.path, column=source.score)
        known = places >= 0
        self._of_file = np.bincount(places[known], counts[known], len(self.rows)).astype(np.float64)
        return True
