"""`TableFiles`: parquet files of a table, whose columns the table knows: older files may lack some, or hold narrower ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from easyrec.data.sources import Place, Source, Unit
from easyrec.data.sources._files import File
from easyrec.data.sources._wrapped import WrappedSource
from easyrec.data.sources.parquet import ParquetSource
from easyrec.errors import DataError


class TableFiles(WrappedSource):
    """Rows of parquet files, with the columns of their table.

    Args:
        files: Files in their order.
        columns: Types by column; a file that lacks one holds nulls.
        kept: By name of a file, which of its rows are still the table's: bools; without it, all are.
        stored: What the columns that a file has are called there, by its name and schema; default: as in the table.
        threads: Whether columns are decoded by several threads.

    Raises:
        DataError: A file is no parquet file, is truncated, or has not as many rows as `kept` says.
    """

    source: ParquetSource

    def __init__(
        self,
        files: Sequence[File],
        columns: Mapping[str, pa.DataType],
        *,
        kept: Mapping[str, np.ndarray] | None = None,
        stored: Callable[[str, pa.Schema], Mapping[str, str]] | None = None,
        threads: bool = True,
    ) -> None:
        super().__init__(ParquetSource(files, threads=threads))
        self.columns, self._kept = dict(columns), kept or {}
        self._schemas = {file.name: schema for file, schema in zip(files, self.source.schemas, strict=True)}
        stored = stored or (lambda name, schema: {column: column for column in schema.names if column in columns})
        self._names = {name: stored(name, schema) for name, schema in self._schemas.items()}
        self._check_kept()
        self._units = [replace(unit, rows=self._count(unit)) for unit in self.source.units()]

    def units(self) -> list[Unit]:
        """Row groups, file by file."""
        return self._units

    def read(self, unit: Unit, columns: Sequence[str], start_row: int = 0) -> Iterator[pa.RecordBatch]:
        """The row group's rows that are still the table's."""
        if start_row >= (unit.rows or 0):
            return
        names, inner = self._names[unit.file], self.source.units()[unit.index]
        there = [names[column] for column in columns if column in names]
        kept = self._kept_of(unit)
        first = start_row if kept is None else int(np.flatnonzero(kept)[start_row])
        # Some column tells how many rows there are, where none is wanted that the file has.
        for batch in self.source.read(inner, there or self._schemas[unit.file].names[:1], first):
            rows = batch if kept is None else batch.filter(pa.array(kept[first : first + batch.num_rows]))
            first += batch.num_rows
            if rows.num_rows:
                yield self._typed(rows, columns, unit)

    def require(self, columns: Sequence[str], why: str = "") -> None:
        """Check that the table has `columns`, and that what files hold can be of their types.

        Raises:
            ConfigError: The table has no such column.
            DataError: A file holds it in another type.
        """
        Source.require(self, columns, why)
        checked = set()
        for file, names in self._names.items():
            for column in columns:
                if column in names and (key := (column, self._schemas[file].field(names[column]).type)) not in checked:
                    checked.add(key)
                    _cast(pa.array([], key[1]), self.columns[column], column, file)

    def locate(self, unit: Unit, row: int) -> Place:
        """Place in the file."""
        kept = self._kept_of(unit)
        return self.source.locate(
            self.source.units()[unit.index], row if kept is None else int(np.flatnonzero(kept)[row])
        )

    def bounds(self, unit: Unit, column: str) -> tuple[pa.Scalar, pa.Scalar] | None:
        """As the row group's statistics say."""
        stored = self._names[unit.file].get(column)
        found = None if stored is None else self.source.bounds(self.source.units()[unit.index], stored)
        try:
            return found and (found[0].cast(self.columns[column]), found[1].cast(self.columns[column]))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return None

    def _typed(self, batch: pa.RecordBatch, columns: Sequence[str], unit: Unit) -> pa.RecordBatch:
        names, arrays = self._names[unit.file], []
        for column in columns:
            kind = self.columns[column]
            if column in names:
                arrays.append(_cast(batch.column(names[column]), kind, column, unit.file))
            else:
                arrays.append(pa.nulls(batch.num_rows, kind))
        return pa.RecordBatch.from_arrays(arrays, list(columns))

    def _kept_of(self, unit: Unit) -> np.ndarray | None:
        """Which rows of a row group are still the table's; None: all."""
        kept, inner = self._kept.get(unit.file), self.source.units()[unit.index]
        return None if kept is None else kept[inner.first_row : inner.first_row + (inner.rows or 0)]

    def _check_kept(self) -> None:
        rows: Counter[str] = Counter()
        for unit in self.source.units():
            rows[unit.file] += unit.rows or 0
        for name, kept in self._kept.items():
            if rows.get(name, len(kept)) != len(kept):
                raise DataError(f"has {rows[name]} rows, but the table speaks of {len(kept)}", file=name)

    def _count(self, unit: Unit) -> int | None:
        kept = self._kept_of(unit)
        return unit.rows if kept is None else int(kept.sum())


def _cast(array: pa.Array, kind: pa.DataType, column: str, file: str) -> pa.Array:
    if array.type == kind:
        return array
    reason = "a text is no number"
    try:
        if _is_text(array.type) == _is_text(kind) or pa.types.is_null(array.type):
            return array.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        reason = str(error).splitlines()[0]
    raise DataError(f"is {array.type} here, and cannot be the table's {kind}: {reason}", column=column, file=file)


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(is_one(kind) for is_one in texts)
