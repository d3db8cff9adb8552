"""`GrowingItems`: computed items that more are added to, while others read those that are there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from feature_generator.columns import Array, Ragged, Table
from feature_generator.incoming import record
from feature_generator.request import ItemTable

SPARE = 0.5
"""Room that is made beside what is needed, as a share of it: adding rows one by one copies each a few times at most."""


class GrowingArray:
    """An array that grows at its end. What was there before stays as it is: a view of it may be read at any time.

    Args:
        first: Its beginning; copied when something is added.
    """

    def __init__(self, first: Array) -> None:
        self._room, self._size = first, len(first)

    def extend(self, more: Array) -> None:
        """Add rows at the end."""
        size = self._size + len(more)
        if size > len(self._room):
            room = np.empty((int(size * (1 + SPARE)) + 16, *self._room.shape[1:]), self._room.dtype)
            room[: self._size] = self._room[: self._size]
            self._room = room
        self._room[self._size : size] = more
        self._size = size

    @property
    def nbytes(self) -> int:
        """Bytes, the spare room among them."""
        return self._room.nbytes

    def view(self) -> Array:
        """What it holds now."""
        return self._room[: self._size]


class _GrowingRagged:
    def __init__(self, first: Ragged) -> None:
        self._parts: dict[str, GrowingArray] = {}
        for name in ("values", "offsets", "weights", "key_offsets"):
            part = getattr(first, name)
            if part is not None:
                self._parts[name] = GrowingArray(part)

    def extend(self, more: Ragged) -> None:
        own = self.view()
        # A part that was implied so far is written out once a row needs it.
        if own.offsets is None and more.offsets is not None:
            self._parts["offsets"] = GrowingArray(np.arange(own.elements + 1))
        if own.key_offsets is None and more.key_offsets is not None:
            self._parts["key_offsets"] = GrowingArray(np.arange(len(own.values) + 1))
        if own.weights is None and more.weights is not None:
            self._parts["weights"] = GrowingArray(np.ones(len(own.values), np.float32))
        if "offsets" in self._parts:
            self._parts["offsets"].extend(own.elements + np.cumsum(more.lengths))
        if "key_offsets" in self._parts:
            self._parts["key_offsets"].extend(len(own.values) + np.cumsum(more.key_lengths))
        if "weights" in self._parts:
            weights = more.weights
            self._parts["weights"].extend(np.ones(len(more.values), np.float32) if weights is None else weights)
        self._parts["values"].extend(more.values)

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self._parts.values())

    def view(self) -> Ragged:
        parts = {name: part.view() for name, part in self._parts.items()}
        return Ragged(parts["values"], parts.get("offsets"), parts.get("weights"), parts.get("key_offsets"))


class GrowingBatch:
    """Record batches one after another, put together so that there are few: each is at least twice the next.

    Args:
        first: The first rows.
    """

    def __init__(self, first: pa.RecordBatch | pa.Table) -> None:
        self._schema = first.schema
        self._parts = [first if type(first) is pa.RecordBatch else record(first, first.schema.names)]

    def extend(self, more: pa.RecordBatch) -> None:
        """Add rows at the end."""
        if not self._schema.names:
            return
        self._parts.append(more.cast(self._schema))
        while len(self._parts) > 1 and self._parts[-2].num_rows < 2 * self._parts[-1].num_rows:
            last = [self._parts.pop(-2), self._parts.pop(-1)]
            self._parts.append(pa.concat_batches(last))

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return sum(part.nbytes for part in self._parts)

    def view(self) -> pa.RecordBatch | pa.Table:
        """What it holds now."""
        return self._parts[0] if len(self._parts) == 1 else pa.Table.from_batches(self._parts)


class GrowingItems:
    """Items computed ahead that more are added to. One thread may add while others read what they were given before.

    Args:
        first: The first ones, which may be none.

    Attributes:
        items: What it holds now: never changed, but replaced when something is added.
    """

    def __init__(self, first: ItemTable) -> None:
        table = first.table
        self._stages = first.stages
        self._names, self._slices = list(table), table.dense_slices
        self._ragged = {name: _GrowingRagged(table.ragged(name)) for name in table if name not in table.dense_slices}
        self._dense = GrowingArray(table.dense)
        self._batches = {
            "raw": GrowingBatch(first.raw),
            "handed": None if first.handed is None else GrowingBatch(first.handed),
        }
        self.items = first

    def __len__(self) -> int:
        return len(self.items)

    def extend(self, more: ItemTable) -> None:
        """Add items at the end."""
        for name, column in self._ragged.items():
            column.extend(more.table.ragged(name))
        self._dense.extend(more.table.dense)
        batches: dict[str, Any] = {"raw": None, "handed": None}
        for name, growing in self._batches.items():
            if growing is not None:
                growing.extend(getattr(more, name))
                batches[name] = growing.view()
        rows = len(self.items) + len(more)
        ragged = {name: column.view() for name, column in self._ragged.items()}
        table = Table(rows, ragged, self._dense.view(), self._slices, names=self._names)
        self.items = ItemTable(table, batches["raw"], batches["handed"], self._stages)

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        batches = [batch.nbytes for batch in self._batches.values() if batch is not None]
        return sum([*(column.nbytes for column in self._ragged.values()), self._dense.nbytes, *batches])
