"""`ListSource`: rows of a log, some of which begin a list of candidates: items that are drawn from a catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from easyrec.config.distill import LIST, WEIGHT
from easyrec.data.sources import Place, Source, Unit
from easyrec.data.sources._wrapped import WrappedSource
from easyrec.errors import ConfigError, DataError, Problem

DRAWN = 1024
"""Lists whose items are drawn at once: what is drawn for a row does not depend on where reading begins."""


class ListSource(WrappedSource):
    """Each `stride`-th row of a unit, and behind it the same row with other items, as a list; rows between stay alone.

    A column that the catalogue has comes from there, all others from the row. Labels of drawn items are 0, and weigh
    nothing. Two columns stand beside: which list a row is of, and whether its label counts (1, or 0).

    Args:
        source: The log.
        items: The catalogue, by the columns of the log that describe an item.
        number: Items that are drawn for a list.
        stride: How many rows there are to a list.
        seed: Of the draws.
        labels: Columns of labels.

    Raises:
        DataError: The catalogue has no items.
        ConfigError: A column of the catalogue cannot be one of the log.
    """

    def __init__(
        self, source: Source, items: pa.Table, number: int, stride: int, seed: int, labels: Sequence[str]
    ) -> None:
        super().__init__(source)
        if not items.num_rows:
            raise DataError("the catalogue has no items", file="data.items")
        self.number, self.stride, self.seed, self.labels = number, stride, seed, frozenset(labels)
        self.items = {name: _cast(items.column(name), name, source.columns[name]) for name in items.column_names}
        self.num_items = items.num_rows
        plain = {name: column.type for name, column in self.items.items()}
        self.columns = {**source.columns, **plain, LIST: pa.int64(), WEIGHT: pa.float32()}
        self._units = [replace(unit, rows=self._grown(unit.rows)) for unit in source.units()]

    def _grown(self, rows: int | None) -> int | None:
        return None if rows is None else rows + self.number * -(-rows // self.stride)

    def units(self) -> list[Unit]:
        """The units of the log, with more rows."""
        return self._units

    def require(self, columns: Sequence[str], why: str = "") -> None:
        """As of the log, but for the columns that stand beside."""
        self.source.require([name for name in columns if name not in (LIST, WEIGHT)], why)

    def locate(self, unit: Unit, row: int) -> Place:
        """Where the row of the log is found."""
        block, inside = divmod(row, self.stride + self.number)
        return self.source.locate(self._own(unit), block * self.stride + max(inside - self.number, 0))

    def bounds(self, unit: Unit, column: str) -> tuple[pa.Scalar, pa.Scalar] | None:
        """As of the log, of columns that come from there."""
        return None if column in self.items else self.source.bounds(self._own(unit), column)

    def _own(self, unit: Unit) -> Unit:
        return self.source.units()[unit.index]

    def read(self, unit: Unit, columns: Sequence[str], start_row: int = 0) -> Iterator[pa.RecordBatch]:
        """The rows and their lists."""
        block, skipped = divmod(start_row, self.stride + self.number)
        row = block * self.stride
        asked = [name for name in columns if name not in (LIST, WEIGHT)] or list(self.source.columns)[:1]
        for batch in self.source.read(self._own(unit), asked, row):
            grown = self._lists(batch, unit, row, columns).slice(skipped)
            skipped = max(skipped - self._size(row, batch.num_rows), 0)
            row += batch.num_rows
            if grown.num_rows:
                yield grown

    def _size(self, row: int, rows: int) -> int:
        begun = -(-(row + rows) // self.stride) - -(-row // self.stride)
        return rows + self.number * begun

    def _lists(self, batch: pa.RecordBatch, unit: Unit, row: int, columns: Sequence[str]) -> pa.RecordBatch:
        numbers = np.arange(row, row + batch.num_rows)
        begins = numbers % self.stride == 0
        sizes = np.where(begins, 1 + self.number, 1)
        of_row = np.repeat(np.arange(batch.num_rows), sizes)
        drawn = np.ones(len(of_row), bool)
        drawn[np.cumsum(sizes) - sizes] = False
        chosen = self._drawn(unit, numbers[begins] // self.stride)
        index, own = pa.array(of_row), pa.array(~drawn)
        arrays: list[pa.Array] = []
        for name in columns:
            if name == LIST:
                arrays.append(pa.array((unit.index << 40) + numbers[of_row]))
            elif name == WEIGHT:
                arrays.append(pa.array((~drawn).astype(np.float32)))
            elif name in self.labels:
                values = batch.column(name).take(index)
                arrays.append(pc.if_else(own, values, pa.scalar(0).cast(values.type)))
            elif name in self.items:
                items = self.items[name].take(pa.array(chosen)).combine_chunks()
                both = pa.concat_arrays([_plain(batch.column(name)), _whole(items)])
                places = of_row.copy()
                places[drawn] = batch.num_rows + np.arange(len(chosen))
                arrays.append(both.take(pa.array(places)))
            else:
                arrays.append(batch.column(name).take(index))
        return pa.RecordBatch.from_arrays(arrays, list(columns))

    def _drawn(self, unit: Unit, lists: np.ndarray) -> np.ndarray:
        """The items of some lists of a unit, which follow one another."""
        if not len(lists) or not self.number:
            return np.zeros(0, np.int64)
        first, last = int(lists[0]) // DRAWN, int(lists[-1]) // DRAWN
        blocks = [
            np.random.default_rng([self.seed, unit.index, block]).integers(self.num_items, size=(DRAWN, self.number))
            for block in range(first, last + 1)
        ]
        found: np.ndarray = np.concatenate(blocks)[lists - first * DRAWN].reshape(-1)
        return found

    def pinned(self, first: int = 0) -> dict[str, Any] | None:
        """As of the log."""
        return self.source.pinned(first)

    def pin(self, state: Mapping[str, Any]) -> None:
        """As of the log, whose units are then others."""
        self.source.pin(state)
        self._units = [replace(unit, rows=self._grown(unit.rows)) for unit in self.source.units()]


def _cast(column: pa.ChunkedArray, name: str, kind: pa.DataType) -> pa.ChunkedArray:
    """The catalogue's column as one of the log's type."""
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    try:
        return column.cast(plain)
    except pa.ArrowException:
        text = f"'{name}' is {column.type} in the catalogue and {kind} in the rows: make them alike"
        raise ConfigError([Problem(text, "data.items")]) from None


def _plain(array: pa.Array) -> pa.Array:
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _whole(array: pa.ChunkedArray | pa.Array) -> pa.Array:
    if isinstance(array, pa.ChunkedArray):
        return pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    return array
