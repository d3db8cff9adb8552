"""`JoinedSource`: a source with more columns, which somebody makes row by row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from easyrec.data.sources import Source, Unit
from easyrec.data.sources._wrapped import WrappedSource


class Joined(ABC):
    """Columns that stand beside those of a source.

    Attributes:
        types: The type of each, by name.
    """

    types: Mapping[str, pa.DataType]

    def reads(self, name: str) -> Sequence[str]:
        """Columns of the source that one of them is made of."""
        del name
        return ()

    @abstractmethod
    def make(self, source: Source, unit: Unit, first: int, name: str, rows: pa.RecordBatch) -> pa.Array:
        """Values of a column.

        Args:
            source: The source.
            unit: One of its units.
            first: The row inside the unit that the first value is of.
            name: The column.
            rows: As many rows as there are to be values, with what `reads` names.

        Raises:
            DataError: A value cannot be told.
        """


class JoinedSource(WrappedSource):
    """The rows of a source, with more columns.

    Args:
        source: The source.
        joined: The columns.
    """

    def __init__(self, source: Source, joined: Joined) -> None:
        super().__init__(source)
        self.joined = joined
        self.columns = {**source.columns, **joined.types}

    def require(self, columns: Sequence[str], why: str = "") -> None:
        """As of the source, but for the columns that stand beside."""
        self.source.require([name for name in columns if name not in self.joined.types], why)

    def read(self, unit: Unit, columns: Sequence[str], start_row: int = 0) -> Iterator[pa.RecordBatch]:
        """The rows with the columns that stand beside."""
        own = [name for name in columns if name in self.joined.types]
        if not own:
            yield from self.source.read(unit, columns, start_row)
            return
        asked = [name for name in columns if name not in self.joined.types]
        asked += [name for column in own for name in self.joined.reads(column)]
        asked = list(dict.fromkeys(asked)) or list(self.source.columns)[:1]  # a batch without columns counts no rows
        row = start_row
        for batch in self.source.read(unit, asked, start_row):
            made = {name: self.joined.make(self.source, unit, row, name, batch) for name in own}
            arrays = [made[name] if name in made else batch.column(name) for name in columns]
            yield pa.RecordBatch.from_arrays(arrays, list(columns))
            row += batch.num_rows

    def pinned(self, first: int = 0) -> dict[str, Any] | None:
        """As of the source."""
        return self.source.pinned(first)

    def pin(self, state: Mapping[str, Any]) -> None:
        """As of the source."""
        self.source.pin(state)
