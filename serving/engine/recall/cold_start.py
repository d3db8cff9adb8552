"""`cold_start`: items that were shown few times, so that somebody sees them at all."""

from __future__ import annotations

import time
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from serving.engine.ask import Ask
from serving.engine.popularity import FileConfig
from serving.engine.recall import Found, Recall, RecallConfig
from serving.engine.tables import Table

PAUSE_S = 2.0
"""Between two looks at what was shown how often."""


class Config(RecallConfig):
    """Config of `cold_start`."""

    aside: ClassVar[bool] = False

    type: Literal["cold_start"] = "cold_start"
    count: int = Field(50, ge=0, le=100_000)
    """How many items it may give; 0: it is not asked."""
    below: int = Field(100, ge=1)
    """Items that were shown less often, as this process and its like have counted since they started."""
    file: FileConfig | None = None
    """Exposures of before."""
    column: str | None = Field(None, min_length=1)
    """A column of the catalogue with larger numbers for newer items: then the newest of them come first, else any."""


class ColdStart(Recall):
    """Chance says which of them a request gets, so that all get their share."""

    why = "new here"

    def prepare(self) -> None:
        """Which items those are."""
        config = self.config
        self._base = np.zeros(len(self.rows))
        if config.file is not None:
            table = Table(config.file.path).table([self.rows.key, config.file.score])
            places = self.rows.find(table.column(self.rows.key).combine_chunks())
            counts = table.column(config.file.score).cast(pa.float64()).to_numpy()
            sums = np.bincount(places[places >= 0], counts[places >= 0], len(self.rows))
            self._base = sums.astype(np.float64)
        self._looked = 0.0
        self._look()

    def refresh(self) -> None:
        """Look again."""
        if time.monotonic() - self._looked >= PAUSE_S:
            self._look()

    def _look(self) -> None:
        self._looked = time.monotonic()
        shown = self._base + self.world.live.shown * self.world.config.processes
        cold = np.flatnonzero((shown < self.config.below) & self.allowed)
        if self.config.column is not None:
            cold = cold[np.argsort(-self.rows.numbers(self.config.column)[cold], kind="stable")]
        self._cold = cold

    def recall(self, ask: Ask, count: int) -> Found:
        """See the contract."""
        cold = self._cold
        if len(cold) <= count:
            return Found(cold)
        if self.config.column is not None:
            cold = cold[: 4 * count]
        start, random = 0, ask.random
        step = max(1, len(cold) // count)
        start = int(random.integers(len(cold)))
        places = (start + step * np.arange(count) + random.integers(0, step, count)) % len(cold)
        return Found(cold[np.unique(places)])
