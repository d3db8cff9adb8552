"""`ItemCache`: features of items that came with their columns, kept in bounded room for when they come again."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from easyrec.errors import ConfigError, DataError
from feature_generator.columns import Array
from feature_generator.growing import GrowingItems
from feature_generator.native import Clock, row_prints
from feature_generator.request import ItemTable, compute
from serving.cache_stats import CacheStats

if TYPE_CHECKING:
    from serving.predictor import Predictor

WASTE = 1024
"""Rows that were evicted are given back once they are more than those that count, and this many."""


class ItemCache:
    """Computed features by the content of an item's columns, or by its key and version. Safe to use from several threads.

    Every value of every item is hashed to know it again, which costs about as much as hashing it for a feature. So this
    pays for features that cost more than that: long texts, tokens, expressions, operators in Python; or with a `version`.

    Args:
        predictor: Whose features they are.
        key: The item column that tells items apart.
        rows: Items that are kept. Beyond them CLOCK decides: what was not asked for lately goes.
        version: An item column that changes whenever any other one does; then only key and version are compared.
        now: The clock, in seconds.

    Raises:
        ConfigError: Features read no such column.
    """

    def __init__(
        self,
        predictor: Predictor,
        key: str,
        *,
        rows: int = 100_000,
        version: str | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        if rows < 1:
            raise ValueError(f"a cache of items has at least one row, not {rows}")
        self.key, self.version, self._bad_values = key, version, predictor.bad_values
        stages = self._stages = predictor.generator.stages
        for column in filter(None, (key, version)):
            if column not in predictor.generator.needs("item"):
                raise ConfigError(f"no feature of items reads the column '{column}'")
        self._known_by = [key, version] if version is not None else stages.kept
        self._raw = stages.cross.needs["item"]
        self._secret, self._index = secrets.token_bytes(16), Clock(rows)
        self._store: GrowingItems | None = None
        self._rows: ItemTable | None = None
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._hits = self._misses = 0
        self._now, self._since = now, now()

    def items(self, batch: pa.RecordBatch) -> ItemTable:
        """What `FeatureGenerator.items` makes of a request's candidates, from memory as far as they are known.

        Raises:
            DataError: A value is bad under `fail`; names row and column.
        """
        batch = batch if type(batch) is pa.RecordBatch else pa.record_batch(batch)
        prints = row_prints(batch.select(self._known_by), self._secret)
        with self._lock:
            places, rows = self._index.find(prints), self._rows
            lacking = np.flatnonzero(places < 0)
            self._hits += len(places) - len(lacking)
            self._misses += len(lacking)
        if len(lacking):
            try:
                fresh = compute(self._stages, batch.take(pa.array(lacking)), 1, self._bad_values)
            except DataError as error:
                row = None if error.row is None else int(lacking[error.row])
                raise DataError(error.reason, column=error.column, row=row) from None
            if fresh.table.bad:  # they are told with every request that holds them
                return compute(self._stages, batch, 1, self._bad_values)
            places, rows = self._kept(prints, lacking, fresh)
            if (places < 0).any():  # the request has more items than there is room for
                return compute(self._stages, batch, 1, self._bad_values)
        if rows is None:  # no items at all
            return compute(self._stages, batch, 1, self._bad_values)
        found = rows.take(places)
        return ItemTable(found.table, batch.select(self._raw), found.handed, self._stages)

    def _kept(self, prints: Array, lacking: Array, fresh: ItemTable) -> tuple[Array, ItemTable]:
        """Keep what was computed; where all of a request's candidates stand then."""
        fresh = ItemTable(fresh.table, fresh.raw.select([]), fresh.handed, fresh.stages)  # each request brings its own
        with self._writing:
            first = 0
            if self._store is None:
                self._store = GrowingItems(fresh)
            else:
                first = len(self._store)
                self._store.extend(fresh)
            with self._lock:
                self._index.put(prints[lacking], np.arange(first, first + len(lacking)))
                places, rows = self._index.find(prints), self._store.items
                self._rows = rows
            self._tidy()
        return places, rows

    def _tidy(self) -> None:
        """Give back the room of evicted rows, once it is more than half."""
        assert self._store is not None
        if len(self._store) <= 2 * len(self._index) + WASTE:
            return
        with self._lock:
            places = self._index.numbers()
        rows = GrowingItems(self._store.items.take(places))
        with self._lock:
            self._index.renumber()
            self._store, self._rows = rows, rows.items

    def __len__(self) -> int:
        with self._lock:
            return len(self._index)

    @property
    def stats(self) -> CacheStats:
        """Its size, its age, and how often it was asked."""
        with self._lock:
            nbytes = self._index.nbytes + (0 if self._store is None else self._store.nbytes)
            counts = (self._hits, self._misses, self._index.evicted)
            return CacheStats(len(self._index), nbytes, self._now() - self._since, *counts)
