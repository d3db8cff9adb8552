"""What the generator makes: columns in flat buffers, side by side in a `Table`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from feature_generator import native

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Column:
    """A vector of fixed width per row.

    Attributes:
        values: (rows, value_dim) float32; may be a view into `Table.dense`.
    """

    values: Array


@dataclass(frozen=True)
class Ragged:
    """Any number of values per row.

    Attributes:
        values: (n,) int64 ids, or (n, value_dim) float32 vectors of a sequence.
        offsets: (rows + 1,) int64 from 0: row r has the elements `offsets[r] .. offsets[r + 1]`. None: exactly one
            element per row.
        weights: (n,) float32, one per id.
        key_offsets: (elements + 1,) int64 from 0, of sequences of ids: element e has the ids
            `key_offsets[e] .. key_offsets[e + 1]`, and `offsets` counts elements. None: one id per element.
    """

    values: Array
    offsets: Array | None = None
    weights: Array | None = None
    key_offsets: Array | None = None

    @property
    def elements(self) -> int:
        """Elements of all rows together."""
        return len(self.values) if self.key_offsets is None else len(self.key_offsets) - 1

    @property
    def lengths(self) -> Array:
        """(rows,) int64: elements per row."""
        return np.ones(self.elements, np.int64) if self.offsets is None else np.diff(self.offsets)

    @property
    def key_lengths(self) -> Array:
        """(elements,) int64: ids per element."""
        return np.ones(len(self.values), np.int64) if self.key_offsets is None else np.diff(self.key_offsets)

    def take(self, rows: Array) -> Ragged:
        """The rows at `rows`, (m,) int64."""
        if self.offsets is None:
            if self.key_offsets is None:
                weights = None if self.weights is None else native.take_rows(self.weights, rows)
                return Ragged(native.take_rows(self.values, rows), None, weights)
            values, key_offsets, weights = self._take_elements(self.key_offsets, rows)
            return Ragged(values, None, weights, key_offsets)
        offsets = native.take_offsets(self.offsets, rows)
        if self.key_offsets is None:
            total = int(offsets[-1])
            values = native.take_items(self.values, self.offsets, rows, total)
            weights = None if self.weights is None else native.take_items(self.weights, self.offsets, rows, total)
            return Ragged(values, offsets, weights)
        # Ids of a row lie together: gather them by row, and the ends of the keys alike. What is not asked for is not read.
        bounds = np.empty(2 * len(rows), np.int64)
        bounds[0::2], bounds[1::2] = self.key_offsets[self.offsets[rows]], self.key_offsets[self.offsets[rows + 1]]
        values, _, weights = self._take_elements(bounds, np.arange(0, 2 * len(rows), 2))
        starts, ends = (
            native.take_items(part, self.offsets, rows, int(offsets[-1]))
            for part in (self.key_offsets[:-1], self.key_offsets[1:])
        )
        return Ragged(values, offsets, weights, _ends(ends - starts))

    def _take_elements(self, offsets: Array, rows: Array) -> tuple[Array, Array, Array | None]:
        taken = native.take_offsets(offsets, rows)
        total = int(taken[-1])
        weights = None if self.weights is None else native.take_items(self.weights, offsets, rows, total)
        return native.take_items(self.values, offsets, rows, total), taken, weights

    def slice(self, start: int, stop: int) -> Ragged:
        """The rows `start .. stop`; the values are not copied."""
        offsets, first, last = self.offsets, start, stop
        if offsets is not None:
            first, last = int(offsets[start]), int(offsets[stop])
            offsets = offsets[start : stop + 1] - first
        key_offsets = self.key_offsets
        if key_offsets is not None:
            low, high = int(key_offsets[first]), int(key_offsets[last])
            key_offsets = key_offsets[first : last + 1] - low
            first, last = low, high
        weights = None if self.weights is None else self.weights[first:last]
        return Ragged(self.values[first:last], offsets, weights, key_offsets)

    @staticmethod
    def concat(parts: Sequence[Ragged]) -> Ragged:
        """The rows of all parts, one part after another."""
        values = np.concatenate([p.values for p in parts])
        weights = None if parts[0].weights is None else np.concatenate([_weights(p) for p in parts])
        offsets = key_offsets = None
        if any(p.offsets is not None for p in parts):
            offsets = _ends(np.concatenate([p.lengths for p in parts]))
        if any(p.key_offsets is not None for p in parts):
            key_offsets = _ends(np.concatenate([p.key_lengths for p in parts]))
        return Ragged(values, offsets, weights, key_offsets)


def value_lists(values: Array, text_ends: Array | None, ends: Array, elements: Array | None) -> pa.Array:
    """Values of the native plan as Arrow lists, of sequences as lists of lists, without a copy.

    Args:
        values: (n,) float64 numbers, or (bytes,) the characters of all texts.
        text_ends: (n + 1,) int64, or None for numbers.
        ends: (elements + 1,) int64, values of each element.
        elements: (rows + 1,) int64, elements of each row of a sequence; None: one.
    """
    if text_ends is None:
        flat = pa.array(values)
    else:
        flat = pa.LargeStringArray.from_buffers(len(text_ends) - 1, pa.py_buffer(text_ends), pa.py_buffer(values))
    lists = pa.LargeListArray.from_arrays(pa.array(ends), flat)
    return lists if elements is None else pa.LargeListArray.from_arrays(pa.array(elements), lists)


def _weights(part: Ragged) -> Array:
    return np.ones(len(part.values), np.float32) if part.weights is None else part.weights


def _ends(lengths: Array) -> Array:
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


@dataclass(frozen=True)
class BadValue:
    """A value that broke a rule.

    Attributes:
        row: 0-based row of the batch as it came in.
        column: Raw column that the value came from.
        reason: What is wrong with it.
        feature: Output that it was meant for.
    """

    row: int
    column: str
    reason: str
    feature: str = ""


Parts: TypeAlias = tuple[Array, Array | None, Array | None, Array | None]
"""(values, offsets, weights, key_offsets) of a ragged column."""


class RaggedColumns(Mapping[str, Ragged]):
    """Ragged columns by name, each made of its parts where somebody asks for it.

    Args:
        parts: Of each.
    """

    def __init__(self, parts: Mapping[str, Parts]) -> None:
        self.parts = parts

    def __getitem__(self, name: str) -> Ragged:
        return Ragged(*self.parts[name])

    def __contains__(self, name: object) -> bool:
        return name in self.parts

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)


class Table(Mapping[str, Column | Ragged]):
    """Features of some rows, by output name.

    Attributes:
        num_rows: Rows.
        dense: (rows, n) float32, all dense outputs side by side.
        dense_slices: Columns of each dense output inside `dense`.
        bad: Values that broke a rule and were replaced, or whose rows were left out.
        kept: (rows,) int64, which rows of the input survived; None: all.
    """

    def __init__(
        self,
        num_rows: int,
        ragged: Mapping[str, Ragged],
        dense: Array | None = None,
        dense_slices: Mapping[str, slice] | None = None,
        bad: Sequence[BadValue] = (),
        kept: Array | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        self.num_rows = num_rows
        self.dense = np.zeros((num_rows, 0), np.float32) if dense is None else dense
        self.dense_slices: Mapping[str, slice] = dense_slices or {}
        self.bad = list(bad)
        self.kept = kept
        self._ragged = ragged
        self._names = tuple(names) if names is not None else (*self.dense_slices, *ragged)

    def __getitem__(self, name: str) -> Column | Ragged:
        if name in self._ragged:
            return self._ragged[name]
        return Column(self.dense[:, self.dense_slices[name]])

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"Table({self.num_rows} rows: {', '.join(self._names)})"

    def ragged(self, name: str) -> Ragged:
        """The output `name`, which must be ragged."""
        return self._ragged[name]

    @property
    def parts(self) -> Callable[[str], Parts]:
        """Gives values, offsets, weights and key offsets of an output by its name, which must be ragged."""
        ragged = self._ragged
        return ragged.parts.__getitem__ if type(ragged) is RaggedColumns else self._parts

    def _parts(self, name: str) -> Parts:
        column = self._ragged[name]
        return column.values, column.offsets, column.weights, column.key_offsets

    def _like(self, num_rows: int, ragged: Mapping[str, Ragged], dense: Array) -> Table:
        return Table(num_rows, ragged, dense, self.dense_slices, names=self._names)

    def take(self, indices: Any) -> Table:
        """The rows at `indices`, (m,) integers in 0 .. rows - 1, copied.

        Raises:
            IndexError: An index lies outside.
        """
        rows = np.ascontiguousarray(indices, np.int64)
        ragged = {name: column.take(rows) for name, column in self._ragged.items()}
        return self._like(len(rows), ragged, native.take_rows(self.dense, rows))

    def bad_of(self, rows: Array) -> list[BadValue]:
        """The bad values of the rows at `rows`, told of their places there."""
        if not self.bad:
            return []
        told: dict[int, list[BadValue]] = {}
        for bad in self.bad:
            told.setdefault(bad.row, []).append(bad)
        return [replace(bad, row=i) for i, row in enumerate(rows.tolist()) for bad in told.get(row, ())]

    def slice(self, start: int, stop: int) -> Table:
        """The rows `start .. stop`; the values are not copied."""
        start, stop, _ = slice(start, stop).indices(self.num_rows)
        stop = max(start, stop)
        ragged = {name: column.slice(start, stop) for name, column in self._ragged.items()}
        return self._like(stop - start, ragged, self.dense[start:stop])

    @staticmethod
    def join(tables: Sequence[Table], names: Sequence[str]) -> Table:
        """The columns of tables of the same rows side by side, those of `names` in their order."""
        ragged: dict[str, Ragged] = {}
        slices: dict[str, slice] = {}
        start = 0
        for table in tables:
            ragged |= table._ragged
            slices |= {name: slice(start + s.start, start + s.stop) for name, s in table.dense_slices.items()}
            start += table.dense.shape[1]
        blocks = [table.dense for table in tables if table.dense.shape[1]]
        dense = None if not blocks else blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
        inside = [name for name in names if name in ragged or name in slices]
        return Table(tables[0].num_rows, ragged, dense, slices, names=inside)

    @staticmethod
    def concat(tables: Sequence[Table]) -> Table:
        """The rows of all tables, one table after another."""
        first = tables[0]
        if len(tables) == 1:
            return first
        ragged = {name: Ragged.concat([t._ragged[name] for t in tables]) for name in first._ragged}
        whole = first._like(sum(t.num_rows for t in tables), ragged, np.concatenate([t.dense for t in tables]))
        start, kept = 0, []
        for table in tables:
            whole.bad += [BadValue(b.row + start, b.column, b.reason, b.feature) for b in table.bad]
            kept.append(start + (np.arange(table.num_rows) if table.kept is None else table.kept))
            start += table.num_rows if table.kept is None else table.input_rows
        if any(table.kept is not None for table in tables):
            whole.kept, whole._input_rows = np.concatenate(kept), start
        return whole

    _input_rows: int | None = None

    @property
    def input_rows(self) -> int:
        """Rows of the input, those that were left out among them."""
        return self.num_rows if self._input_rows is None else self._input_rows

    def drop(self, rows: Array) -> Table:
        """The table without the rows `rows`; `kept` names the others."""
        stay = np.ones(self.num_rows, bool)
        stay[rows] = False
        kept = np.flatnonzero(stay)
        rest = self.take(kept)
        rest.bad, rest.kept, rest._input_rows = self.bad, kept, self.num_rows
        return rest

    # ------------------------------------------------------------------------------------------------ Arrow

    def to_arrow(self) -> pa.RecordBatch:
        """The table as a record batch: lists for ragged columns, fixed-size lists for vectors.

        Weights become a second column `<name>:weights`.
        """
        arrays: dict[str, pa.Array] = {}
        for name, column in self.items():
            if isinstance(column, Column):
                arrays[name] = _vectors(column.values)
                continue
            values = _vectors(column.values) if column.values.ndim == 2 else pa.array(column.values)
            arrays[name] = lists(values, column)
            if column.weights is not None:
                arrays[f"{name}:weights"] = lists(pa.array(column.weights), column)
        if not arrays:
            return pa.RecordBatch.from_struct_array(pa.array([{}] * self.num_rows, pa.struct([])))
        return pa.RecordBatch.from_pydict(arrays)

    @staticmethod
    def from_arrow(batch: pa.RecordBatch) -> Table:
        """The table that `to_arrow` made a record batch of."""
        ragged: dict[str, Ragged] = {}
        dense: dict[str, Array] = {}
        for name in batch.schema.names:
            array = batch.column(name)
            if pa.types.is_fixed_size_list(array.type):
                dense[name] = array.flatten().to_numpy().reshape(len(array), array.type.list_size)
            elif not name.endswith(":weights"):
                weights = f"{name}:weights"
                ragged[name] = _unlist(array, batch.column(weights) if weights in batch.schema.names else None)
        slices, start = {}, 0
        for name, values in dense.items():
            slices[name] = slice(start, start + values.shape[1])
            start += values.shape[1]
        block = np.concatenate(list(dense.values()), axis=1) if dense else None
        names = [n for n in batch.schema.names if not n.endswith(":weights")]
        return Table(batch.num_rows, ragged, block, slices, names=names)


def _vectors(values: Array) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values, np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def lists(values: pa.Array, column: Ragged) -> pa.Array:
    """Flat values as the lists that a ragged column says."""
    if column.key_offsets is not None:
        values = pa.LargeListArray.from_arrays(pa.array(column.key_offsets), values)
    return values if column.offsets is None else pa.LargeListArray.from_arrays(pa.array(column.offsets), values)


def _unlist(array: pa.Array, weights: pa.Array | None) -> Ragged:
    levels = []
    while pa.types.is_large_list(array.type):
        levels.append(_ends(array.value_lengths().to_numpy().astype(np.int64)))
        array = array.flatten()
        weights = None if weights is None else weights.flatten()
    values = (
        array.to_numpy()
        if not pa.types.is_fixed_size_list(array.type)
        else array.flatten().to_numpy().reshape(len(array), -1)
    )
    return Ragged(
        values,
        levels[0] if levels else None,
        None if weights is None else weights.to_numpy(),
        levels[1] if len(levels) > 1 else None,
    )
