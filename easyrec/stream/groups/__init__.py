"""What a key's events leave behind, of which its fields are made: one file per kind of window.

A group keeps some lists of each key and knows which fields are made of them. Everything is done for all keys of a batch of
events at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from easyrec.stream.watermark import BEGIN


@dataclass(frozen=True)
class Batch:
    """Events of some keys.

    Attributes:
        key: (events,) int64: number of the key.
        times: (events,) int64: microseconds since 1970.
        rows: Their columns.
        keys: How many keys there are.
    """

    key: np.ndarray
    times: np.ndarray
    rows: pa.RecordBatch
    keys: int

    def valid(self, column: str) -> np.ndarray:
        """Where a column is not null."""
        return np.asarray(self.rows.column(column).is_valid())

    def numbers(self, column: str, dtype: type, empty: float) -> np.ndarray:
        """The numbers of a column, with something for null."""
        values = self.rows.column(column)
        if pa.types.is_timestamp(values.type):
            values = values.cast(pa.int64())
        kind = pa.int64() if dtype is np.int64 else pa.float64()
        return np.asarray(values.cast(kind).fill_null(empty), dtype)


@dataclass(frozen=True)
class Lists:
    """Lists of keys, one behind another.

    Attributes:
        owner: (items,) int64: number of the key, ascending.
        columns: (items,): values by name.
    """

    owner: np.ndarray
    columns: Mapping[str, np.ndarray | pa.Array]

    @classmethod
    def of(cls, state: pa.RecordBatch, names: Sequence[str]) -> Lists:
        """The lists of some columns, which are of equal lengths."""
        columns: dict[str, np.ndarray | pa.Array] = {}
        owner = np.zeros(0, np.int64)
        for name in names:
            lists = state.column(name)
            items = lists.flatten()
            plain = not items.null_count and pa.types.is_primitive(items.type) and not pa.types.is_boolean(items.type)
            columns[name] = items.to_numpy() if plain and not pa.types.is_timestamp(items.type) else items
        if names:
            lengths = np.asarray(state.column(names[0]).value_lengths().fill_null(0))
            owner = np.repeat(np.arange(len(lengths)), lengths)
        return cls(owner, columns)


def listed(owner: np.ndarray, keys: int, values: np.ndarray | pa.Array, kind: pa.DataType) -> pa.ListArray:
    """Lists of values by their owners, which ascend."""
    ends = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=keys))]).astype(np.int32)
    items = values if isinstance(values, pa.Array) else pa.array(values, kind)
    return pa.ListArray.from_arrays(pa.array(ends), items)


def latest(owner: np.ndarray, values: np.ndarray, keys: int) -> np.ndarray:
    """The greatest value of each key; of none a time before all."""
    made = np.full(keys, BEGIN)
    np.maximum.at(made, owner, values)
    return made


class Group(ABC):
    """Lists of each key, and the fields that are made of them.

    Attributes:
        types: Type of each list, by a name that no other group has.
        forever: Whether always something is left of a key.
    """

    types: dict[str, str]
    forever: bool = False

    @abstractmethod
    def update(self, state: pa.RecordBatch, events: Batch, watermark: int) -> dict[str, pa.Array]:
        """The lists with some events more, and without what no window will hold any more.

        Args:
            state: The lists, a row for each key; null where there are none.
            events: In the order in which they came.
            watermark: No event before it will count any more.
        """

    @abstractmethod
    def fields(self, state: pa.RecordBatch, watermark: int) -> dict[str, pa.Array]:
        """The fields, as of all times from the watermark on.

        Args:
            state: The lists, a row for each key.
            watermark: Nobody reads as of a time before it.
        """

    @abstractmethod
    def until(self, state: pa.RecordBatch) -> np.ndarray:
        """(keys,) int64: from when on nothing is left of a key, in microseconds, unless `forever`."""
