"""`item_to_item`: what is near the items that the user clicked lately, by a table of neighbours."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from serving.engine.ask import Ask
from serving.engine.recall import NOTHING, Found, Recall, RecallConfig
from serving.engine.tables import Table


class Config(RecallConfig):
    """Config of `item_to_item`."""

    aside: ClassVar[bool] = False

    type: Literal["item_to_item"] = "item_to_item"
    path: str = Field(min_length=1)
    """Parquet with a row for each pair, such as the `neighbours.parquet` of a bundle of `item_cf`, `swing` or `item2vec`."""
    item: str = "item"
    neighbour: str = "neighbour"
    score: str = "score"
    """Its columns."""
    each: int = Field(100, ge=1, le=10_000)
    """Neighbours that are kept of an item."""
    clicks: int = Field(20, ge=1, le=1000)
    """How many of the user's newest clicks count."""
    recency: float = Field(0.9, gt=0.0, le=1.0)
    """How much a click counts for each newer one."""


class ItemToItem(Recall):
    """The score of an item is the sum of its nearness to the clicks, each weighed by how new it is."""

    why = "because you clicked {item}"

    def prepare(self) -> None:
        """Where the neighbours of each item begin, they, the nearest first, and how near they are."""
        config, rows = self.config, self.rows
        self._table = Table(config.path)
        table = self._table.table([config.item, config.neighbour, config.score])
        items = rows.find(table.column(config.item).combine_chunks())
        near = rows.find(table.column(config.neighbour).combine_chunks())
        scores = table.column(config.score).cast(pa.float32()).to_numpy()
        known = (items >= 0) & (near >= 0)
        known[known] &= self.allowed[near[known]]
        items, near, scores = items[known], near[known], scores[known]
        order = np.lexsort((-scores, items))
        items, near, scores = items[order], near[order], scores[order]
        starts = np.searchsorted(items, np.arange(len(rows) + 1))
        kept = np.arange(len(items)) - starts[items] < config.each
        starts = np.searchsorted(items[kept], np.arange(len(rows) + 1))
        self._held = (starts, near[kept], scores[kept])

    def refresh(self) -> None:
        """Read the table again where it was written anew."""
        if self._table.changed():
            self.prepare()

    def recall(self, ask: Ask, count: int) -> Found:
        """See the contract."""
        clicks = ask.clicked[: self.config.clicks]
        if not len(clicks):
            return NOTHING
        starts, near, scores = self._held
        first, sizes = starts[clicks], starts[clicks + 1] - starts[clicks]
        total = int(sizes.sum())
        if not total:
            return NOTHING
        which = np.repeat(np.arange(len(clicks)), sizes)
        places = np.arange(total) - np.repeat(np.cumsum(sizes) - sizes, sizes) + np.repeat(first, sizes)
        gains = scores[places] * (self.config.recency ** np.arange(len(clicks)))[which]
        order = np.argsort(-gains, kind="stable")  # so that of equal items the click that adds most stands first
        found, at, each = np.unique(near[places][order], return_index=True, return_inverse=True)
        sums = np.bincount(each, gains[order], len(found)).astype(np.float64)
        best = np.argsort(-sums, kind="stable")[:count]
        return Found(found[best], sums[best], because=clicks[which[order][at[best]]])
