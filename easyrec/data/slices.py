"""Slices of a source: consecutive rows, mostly whole units, that one worker handles at a time."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import pyarrow as pa

from easyrec.data.sources import Place, Source, Unit
from easyrec.data.split import Part
from feature_generator.origin import Origin


@dataclass(frozen=True)
class Slice:
    """Consecutive rows of a source.

    Attributes:
        name: Its number, with zeros in front: names sort as rows do.
        units: The units that hold them; empty where there are no rows at all.
        rows: Number of rows, None where only reading tells.
        start: Rows of the first unit that belong to the slice before.
        stop: Row of the last unit where the slice ends; None: at the unit's end.
    """

    name: str
    units: Sequence[Unit]
    rows: int | None
    start: int = 0
    stop: int | None = None

    @property
    def description(self) -> str:
        """What people call it."""
        if not self.units:
            return "no rows"
        first, last = self.units[0].description, self.units[-1].description
        return first if len(self.units) == 1 else f"{first} to {last}"


def slices_of(part: Part, rows: int) -> list[Slice]:
    """The slices of a part of the data: equal parts are cut equally by every worker.

    Args:
        part: A source, and which of its rows are wanted.
        rows: A slice ends where it has as many, or at a unit whose rows nobody knows.
    """
    units = part.source.units() if part.predicate is None else part.predicate.units(part.source)
    groups: list[list[Unit]] = []
    size: int | None = None
    for unit in units:
        if size is None or unit.rows is None or size + unit.rows > rows:
            groups.append([])
            size = 0
        groups[-1].append(unit)
        size = None if unit.rows is None else size + unit.rows
    found = []
    for name, group in zip(_names(len(groups)), groups or [[]], strict=True):
        counts = [unit.rows for unit in group]
        known = None if None in counts else sum(count for count in counts if count is not None)
        found.append(Slice(name, group, known))
    return found


def batch_slices_of(part: Part, rows: int, batch: int) -> list[Slice]:
    """Slices that end where a reader of all rows ends a batch, so that both make the same batches, bit for bit.

    Where nobody knows how many rows a unit has, or which of them are wanted, these are `slices_of`.

    Args:
        part: A source, and which of its rows are wanted.
        rows: About how many rows a slice has; at least one batch.
        batch: Rows of a batch.
    """
    units = part.source.units()
    if part.predicate is not None or any(unit.rows is None for unit in units):
        return slices_of(part, rows)
    ends = list(accumulate(unit.rows or 0 for unit in units))
    total, size = (ends[-1] if ends else 0), max(1, round(rows / batch)) * batch
    firsts = range(0, total, size)
    found = []
    for name, first in zip(_names(len(firsts)), firsts or (0,), strict=True):
        last = min(first + size, total)
        inside = slice(bisect_right(ends, first), bisect_left(ends, last) + 1)
        held, before = units[inside], ends[inside.start - 1] if inside.start else 0
        stop = last - (ends[inside.stop - 2] if inside.stop > 1 else 0)
        whole = not held or stop == held[-1].rows
        found.append(Slice(name, held if total else [], last - first, first - before, None if whole else stop))
    return found


def digest_of(slices: Sequence[Slice]) -> str:
    """Digest of how rows are cut: equal where two machines see the same units."""
    text = [[s.start, s.stop, [[unit.description, unit.rows] for unit in s.units]] for s in slices]
    return hashlib.sha256(json.dumps(text).encode()).hexdigest()


def _names(count: int) -> list[str]:
    """Names of slices; no rows at all are one slice too."""
    width = max(5, len(str(count)))
    return [f"{number:0{width}}" for number in range(count or 1)]


class SlicedSource(Source):
    """The rows of a slice alone.

    Args:
        source: The whole.
        slice: One of its slices.
    """

    def __init__(self, source: Source, slice: Slice) -> None:
        self.source, self.columns = source, source.columns
        self._inner = list(slice.units)
        self._cuts: list[tuple[int, int | None]] = [(0, None)] * len(self._inner)  # first row, row behind the last
        if self._cuts:
            self._cuts[0] = slice.start, None
            self._cuts[-1] = self._cuts[-1][0], slice.stop
        self._units = [
            replace(unit, index=index, rows=_rows(unit, *cut), first_row=unit.first_row + cut[0])
            for index, (unit, cut) in enumerate(zip(self._inner, self._cuts, strict=True))
        ]
        files = {unit.file for unit in self._inner}
        self.files = [file for file in getattr(source, "files", ()) if file.name in files]

    def units(self) -> list[Unit]:
        """The slice's units, counted from 0."""
        return self._units

    def read(self, unit: Unit, columns: Sequence[str], start_row: int = 0) -> Iterator[pa.RecordBatch]:
        """The unit's rows that are the slice's, as the whole source reads them."""
        first, stop = self._cuts[unit.index]
        batches = self.source.read(self._inner[unit.index], columns, first + start_row)
        if stop is None:
            return batches
        return _limited(batches, stop - first - start_row)

    def require(self, columns: Sequence[str], why: str = "") -> None:
        """As of the whole source."""
        self.source.require(columns, why)

    def locate(self, unit: Unit, row: int) -> Place:
        """Where the row is found in the whole source."""
        return self.source.locate(self._inner[unit.index], self._cuts[unit.index][0] + row)

    def bounds(self, unit: Unit, column: str) -> tuple[pa.Scalar, pa.Scalar] | None:
        """As of the whole source."""
        return self.source.bounds(self._inner[unit.index], column)

    def dropped(self, unit: Unit) -> Mapping[str, int]:
        """As of the whole source."""
        return self.source.dropped(self._inner[unit.index])

    def origins(self) -> Iterator[tuple[str, Origin]]:
        """As of the whole source."""
        return self.source.origins()


def _rows(unit: Unit, first: int, stop: int | None) -> int | None:
    end = unit.rows if stop is None else stop
    return None if end is None else end - first


def _limited(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """The first rows of all batches."""
    while rows > 0 and (batch := next(batches, None)) is not None:
        yield batch.slice(0, rows)
        rows -= batch.num_rows
