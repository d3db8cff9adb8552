"""Slices of a source: consecutive units of about equal size that one worker handles at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from easyrec.data.sources import Place, Source, Unit
from easyrec.data.split import Part
from feature_generator.origin import Origin


@dataclass(frozen=True)
class Slice:
    """Consecutive units of a source.

    Attributes:
        name: Its number, with zeros in front: names sort as rows do.
        units: The units; empty where there are no rows at all.
        rows: Number of rows, None where only reading tells.
    """

    name: str
    units: Sequence[Unit]
    rows: int | None

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
    width = max(5, len(str(len(groups))))
    for number, group in enumerate(groups or [[]]):
        counts = [unit.rows for unit in group]
        known = None if None in counts else sum(count for count in counts if count is not None)
        found.append(Slice(f"{number:0{width}}", group, known))
    return found


class SlicedSource(Source):
    """The rows of a slice alone.

    Args:
        source: The whole.
        slice: One of its slices.
    """

    def __init__(self, source: Source, slice: Slice) -> None:
        self.source, self.columns = source, source.columns
        self._inner = list(slice.units)
        self._units = [replace(unit, index=index) for index, unit in enumerate(self._inner)]
        files = {unit.file for unit in self._inner}
        self.files = [file for file in getattr(source, "files", ()) if file.name in files]

    def units(self) -> list[Unit]:
        """The slice's units, counted from 0."""
        return self._units

    def read(self, unit: Unit, columns: Sequence[str], start_row: int = 0) -> Iterator[pa.RecordBatch]:
        """The unit's rows, as the whole source reads them."""
        return self.source.read(self._inner[unit.index], columns, start_row)

    def require(self, columns: Sequence[str], why: str = "") -> None:
        """As of the whole source."""
        self.source.require(columns, why)

    def locate(self, unit: Unit, row: int) -> Place:
        """Where the row is found in the whole source."""
        return self.source.locate(self._inner[unit.index], row)

    def bounds(self, unit: Unit, column: str) -> tuple[pa.Scalar, pa.Scalar] | None:
        """As of the whole source."""
        return self.source.bounds(self._inner[unit.index], column)

    def dropped(self, unit: Unit) -> Mapping[str, int]:
        """As of the whole source."""
        return self.source.dropped(self._inner[unit.index])

    def origins(self) -> Iterator[tuple[str, Origin]]:
        """As of the whole source."""
        return self.source.origins()
