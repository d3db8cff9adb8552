"""`Rows`: the catalogue at a moment. Items are numbers, and their columns arrays."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from easyrec.errors import DataError, nearest
from feature_generator.native import Clock, key_prints

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
T = TypeVar("T")
EMPTY: Ints = np.zeros(0, np.int64)
_TICKS = {"s": 1_000, "ms": 1, "us": 1e-3, "ns": 1e-6}
"""Milliseconds of Arrow's units of time."""


@dataclass(frozen=True)
class Groups:
    """The items by the values of a column: those of value v are `rows[starts[v]:starts[v + 1]]`, ascending.

    Attributes:
        values: What the numbers of values mean.
        starts: (V + 1,) int64.
        rows: (n,) int64; an item with several values stands in each of them.
        first: (N,) int32, by item: its first value, -1 where it has none.
    """

    values: list[Any]
    starts: Ints
    rows: Ints
    first: npt.NDArray[np.int32]

    def of(self, value: int) -> Ints:
        """The items of a value."""
        return self.rows[self.starts[value] : self.starts[value + 1]]


class Rows:
    """Items of a catalogue. Nothing of it is ever changed, so that a request ends with what it began with.

    Args:
        table: A row for each item.
        key: The column of whole numbers or texts that tells them apart.

    Attributes:
        keys: (N,) Arrow array of the items' keys.

    Raises:
        DataError: There is no such column, or a key is none or is there twice.
    """

    def __init__(self, table: pa.Table, key: str) -> None:
        if key not in table.column_names:
            known = nearest(key, table.column_names)
            raise DataError(f"the catalogue has no column '{key}', which is to be its key{known}", column=key)
        self.table, self.key = table.combine_chunks(), key
        column = self.table.column(key)
        self.keys = column.chunk(0) if column.num_chunks else pa.array([], column.type)
        if pa.types.is_dictionary(self.keys.type):
            self.keys = self.keys.dictionary_decode()
        self._secret, self._index = secrets.token_bytes(16), Clock()
        prints = self._prints(self.keys)
        if len(np.unique(prints, axis=0)) < len(prints):
            _, first = np.unique(prints, axis=0, return_index=True)
            again = int(np.setdiff1d(np.arange(len(prints)), first)[0])
            told = str(self.keys[again].as_py())[:100]
            raise DataError(f"the item '{told}' is there twice", column=key, row=again)
        self._index.put(prints, np.arange(len(prints)))
        self._shared: WeakValueDictionary[Hashable, Any] = WeakValueDictionary()
        self._making = threading.RLock()
        self._numbers: dict[str, Floats] = {}
        self._groups: dict[str, Groups] = {}

    def __len__(self) -> int:
        return len(self.keys)

    def shared(self, key: Hashable, make: Callable[[], T]) -> T:
        """Something that is made of these items, which all who ask for it under one key share for as long as they hold it."""
        with self._making:
            found: T | None = self._shared.get(key)
            if found is None:
                found = self._shared[key] = make()
            return found

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self.table.column_names)

    def find(self, keys: Sequence[Any] | pa.Array) -> Ints:
        """(n,) the numbers of items, -1 where there is none of that key. 7 and "7" are the same key.

        Raises:
            DataError: A key is no whole number and no text.
        """
        if not len(keys):
            return EMPTY
        return np.asarray(self._index.find(self._prints(keys)), np.int64)

    def key_of(self, row: int) -> Any:
        """The key of an item."""
        return self.keys[row].as_py()

    def keys_of(self, rows: Ints) -> list[Any]:
        """The keys of items."""
        found: list[Any] = self.keys.take(pa.array(rows)).to_pylist()
        return found

    def is_number(self, column: str) -> bool:
        """Whether a column has one number for each item; times are numbers of milliseconds since 1970."""
        if column not in self.table.column_names:
            return False
        kind = self.table.schema.field(column).type
        return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)) or bool(
            pa.types.is_boolean(kind) or pa.types.is_temporal(kind)
        )

    def numbers(self, column: str) -> Floats:
        """(N,) a column of numbers; NaN where there is none.

        Raises:
            DataError: There is no such column, or it is none of numbers.
        """
        if column not in self._numbers:
            self._numbers[column] = self._made_numbers(column)
        return self._numbers[column]

    def _made_numbers(self, column: str) -> Floats:
        if not self.is_number(column):
            known = column in self.table.column_names
            lacks = f"the catalogue has none{nearest(column, self.table.column_names)}"
            told = f"is {self.table.schema.field(column).type}, and not numbers" if known else lacks
            raise DataError(told, column=column)
        values = self.table.column(column)
        kind, scale = values.type, 1.0
        if pa.types.is_timestamp(kind):
            scale, values = _TICKS[kind.unit], values.cast(pa.int64())
        elif pa.types.is_date(kind):
            values = values.cast(pa.timestamp("ms")).cast(pa.int64())
        elif pa.types.is_temporal(kind):
            values = values.cast(pa.int64())
        elif pa.types.is_boolean(kind):
            values = values.cast(pa.uint8())
        numbers = values.cast(pa.float64(), safe=False).to_numpy()
        return np.ascontiguousarray(np.where(np.isnan(numbers), np.nan, numbers * scale))

    def groups(self, column: str) -> Groups:
        """The items by the values of a column, or by the elements of its lists.

        Raises:
            DataError: There is no such column, or its values cannot be compared.
        """
        if column not in self._groups:
            self._groups[column] = self._made_groups(column)
        return self._groups[column]

    def _made_groups(self, column: str) -> Groups:
        if column not in self.table.column_names:
            told = f"the catalogue has no such column{nearest(column, self.table.column_names)}"
            raise DataError(told, column=column)
        values = self.table.column(column).combine_chunks()
        values = values.chunk(0) if isinstance(values, pa.ChunkedArray) else values
        owners = np.arange(len(values))
        if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
            owners = pc.list_parent_indices(values).to_numpy().astype(np.int64)
            values = values.flatten()
        try:
            coded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
        except pa.ArrowException:
            raise DataError(f"values of type {values.type} cannot be grouped by", column=column) from None
        codes = coded.indices.fill_null(-1).to_numpy().astype(np.int64)
        owners, codes = owners[codes >= 0], codes[codes >= 0]
        order = np.lexsort((owners, codes))
        once = np.ones(len(order), bool)  # an item may have an element twice
        once[1:] = (np.diff(owners[order]) != 0) | (np.diff(codes[order]) != 0)
        order = order[once]
        names = coded.dictionary.to_pylist()
        starts = np.searchsorted(codes[order], np.arange(len(names) + 1))
        first = np.full(len(self), -1, np.int32)
        first[owners[::-1]] = codes[::-1]
        return Groups(names, starts, owners[order], first)

    def code(self, column: str, value: Any) -> int:
        """The number of a value in `groups`, -1 where no item has it."""
        values = self.groups(column).values
        return values.index(value) if value in values else -1

    def batch(self, rows: Ints, columns: Sequence[str]) -> pa.RecordBatch:
        """Columns of some items."""
        taken = self.table.select(list(columns)).take(pa.array(rows)).combine_chunks()
        arrays = [column.chunk(0) if column.num_chunks else pa.array([], column.type) for column in taken.columns]
        return pa.RecordBatch.from_arrays(arrays, list(columns))

    def _prints(self, keys: Any) -> Any:
        try:
            return key_prints(keys, self._secret)
        except ValueError as error:
            told = str(error)
            if not told.isdigit():
                raise DataError(f"cannot be keys of items: {told}", column=self.key) from None
            text = "the key of an item must be a whole number or a text that is not empty"
            raise DataError(text, column=self.key, row=int(told)) from None
