"""`SampledSource`: a share of another source's rows, those of a smaller share among those of every larger one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from easyrec.data.sources import Place, Source, Unit
from easyrec.data.sources._wrapped import WrappedSource
from easyrec.data.split import Predicate, keep_negatives
from easyrec.errors import ConfigError, Problem

DRAW = 2**32 - 1
"""Stands for an epoch where rows are drawn: no epoch's down-sampling of negatives keeps the same ones."""


class SampledSource(WrappedSource):
    """Some rows of another source.

    Args:
        source: The other one.
        share: Part of its rows.
        clock: Column with the time of a row: the newest ones are taken. None: rows are drawn by a hash of their place.
        among: Rows that are drawn from; the others all stay. None: all.

    Raises:
        ConfigError: There is no such column, or it has no order; or the rows have no end.
    """

    def __init__(self, source: Source, share: float, clock: str | None = None, among: Predicate | None = None) -> None:
        super().__init__(source)
        if source.endless:
            raise ConfigError([Problem("rows without an end have no share", "tune.rows")])
        self.part, self.clock, self.among = share, clock, among
        self._units = source.units()
        rows = [unit.rows for unit in self._units]
        counted = None if None in rows else [number for number in rows if number is not None]
        self._first = None if counted is None else list(accumulate(counted, initial=0))
        self._counts: dict[int, int] = {}
        self._since = None if clock is None else self._find(clock)
        for unit in self._units if clock is None and among is None and counted is not None else ():
            self._counts[unit.index] = int(self._drawn(unit, np.arange(unit.rows or 0)).sum())

    def _find(self, clock: str) -> pa.Scalar | None:
        """The moment from which on rows are new enough."""
        self.source.require([clock], "tune.rows.column")
        read = [clock] if self.among is None else list(dict.fromkeys([clock, self.among.column]))
        found, of = [], []
        for unit in self._units:
            for batch in self.source.read(unit, read):
                inside = batch if self.among is None else batch.filter(self.among.rows(batch))
                found.append(inside.column(clock))
                of.append(np.full(inside.num_rows, unit.index))
        times = pa.chunked_array(found, self.columns[clock])
        if not times.length() - times.null_count:
            return None
        try:
            order = pc.array_sort_indices(times, order="descending")
        except pa.ArrowNotImplementedError:
            text = f"column '{clock}' of type {times.type} has no order in time"
            raise ConfigError([Problem(text, "tune.rows.column")]) from None
        known = len(times) - times.null_count
        since = times[order[max(round(self.part * known), 1) - 1].as_py()]
        if self.among is None:
            newest = np.concatenate(of)[_truth(pc.greater_equal(times, since).combine_chunks())]
            self._counts = dict(enumerate(np.bincount(newest, minlength=len(self._units)).tolist()))
        return since

    def _drawn(self, unit: Unit, rows: np.ndarray) -> np.ndarray:
        """Which rows of a unit are drawn, by their place among all rows where that is known."""
        first, key = (0, unit.index) if self._first is None else (self._first[unit.index], 0)
        return keep_negatives(0, DRAW, key, first + rows, self.part)

    def _chosen(self, unit: Unit, first: int, batch: pa.RecordBatch) -> np.ndarray:
        """(rows,) bool."""
        if self.clock is None:
            chosen = self._drawn(unit, np.arange(first, first + batch.num_rows))
        elif self._since is None:
            chosen = np.zeros(batch.num_rows, bool)
        else:
            chosen = _truth(pc.greater_equal(batch.column(self.clock), self._since))
        return chosen if self.among is None else chosen | ~_truth(self.among.rows(batch))

    def units(self) -> list[Unit]:
        """Those of the other one, with their rows where they are counted."""
        return [replace(unit, rows=self._counts.get(unit.index)) for unit in self._units]

    @property
    def _beside(self) -> list[str]:
        """Columns that tell which rows are taken."""
        return [name for name in (self.clock, self.among and self.among.column) if name]

    def read(self, unit: Unit, columns: Sequence[str], start_row: int = 0) -> Iterator[pa.RecordBatch]:
        """The chosen rows of the unit."""
        wanted, row, left = list(dict.fromkeys([*columns, *self._beside])), 0, start_row
        for batch in self.source.read(self._units[unit.index], wanted):
            chosen = self._chosen(unit, row, batch)
            row += batch.num_rows
            taken = batch.select(list(columns)).filter(pa.array(chosen))
            left, passed = max(left - taken.num_rows, 0), left
            if passed < taken.num_rows:
                yield taken.slice(passed)

    def locate(self, unit: Unit, row: int) -> Place:
        """Where the other one has the row."""
        first = 0
        for batch in self.source.read(self._units[unit.index], self._beside or list(self.columns)[:1]):
            places = np.flatnonzero(self._chosen(unit, first, batch))
            if row < len(places):
                return self.source.locate(self._units[unit.index], first + int(places[row]))
            first, row = first + batch.num_rows, row - len(places)
        return self.source.locate(self._units[unit.index], first)

    def bounds(self, unit: Unit, column: str) -> tuple[pa.Scalar, pa.Scalar] | None:
        """Those of all rows of the unit."""
        return self.source.bounds(self._units[unit.index], column)

    def dropped(self, unit: Unit) -> Mapping[str, int]:
        """As of the other one."""
        return self.source.dropped(self._units[unit.index])


def _truth(values: pa.BooleanArray) -> np.ndarray:
    return np.asarray(values.fill_null(False).to_numpy(zero_copy_only=False))
