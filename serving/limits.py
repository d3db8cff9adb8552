"""Bounds on what a request may hold, checked before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from easyrec.errors import DataError
from feature_generator.native import FlatBatch


@dataclass(frozen=True)
class Limits:
    """How much one request may hold.

    Attributes:
        items: Candidates.
        text_bytes: UTF-8 bytes of one text.
        list_length: Elements of one list or map, nested ones included.
    """

    items: int = 10_000
    text_bytes: int = 65_536
    list_length: int = 100_000

    def check_count(self, count: int) -> None:
        """Compare the number of candidates.

        Raises:
            DataError: There are too many.
        """
        if count > self.items:
            raise DataError(f"the request has {count:,} items, but at most {self.items:,} are allowed")

    def check_flat(self, batch: FlatBatch) -> None:
        """Compare a batch of nothing but numbers, and lists of them.

        Raises:
            DataError: There are too many rows, or lists are too long.
        """
        self.check_count(batch.num_rows)
        if batch.longest > self.list_length:
            raise DataError(f"has {batch.longest:,} elements, but at most {self.list_length:,} are allowed")

    def check(self, batch: pa.RecordBatch) -> None:
        """Compare every value of a batch.

        Raises:
            DataError: A text or a list is too long; names row and column.
        """
        small = batch.get_total_buffer_size() <= self.text_bytes  # then no text in it can be too long
        for position, kind in enumerate(batch.schema.types):
            if not small or kind.id in _NESTED:
                self._check_column(batch.column(position), batch.schema.names[position])

    def _check_column(self, column: Any, name: str) -> None:
        kind = column.type
        if pa.types.is_dictionary(kind):
            self._check_inner(column.dictionary, name)
        elif pa.types.is_map(kind):
            self._check_lengths(_map_lengths(column), name, self.list_length, "elements")
            self._check_inner(column.keys, name)
            self._check_inner(column.items, name)
        elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
            inner = column.flatten()
            if len(inner) > self.list_length:  # all rows together: one alone may be over
                self._check_lengths(column.value_lengths(), name, self.list_length, "elements")
            self._check_inner(inner, name)
        elif _is_text(kind) and column.nbytes > self.text_bytes:
            self._check_lengths(pc.binary_length(column), name, self.text_bytes, "bytes")

    def _check_inner(self, values: Any, name: str) -> None:
        """Values inside lists: their own row is unknown, the column is not."""
        try:
            self._check_column(values, name)
        except DataError as error:
            raise DataError(f"a value inside a list {error.reason}", column=name) from None

    def _check_lengths(self, lengths: Any, name: str, limit: int, unit: str) -> None:
        found = lengths.fill_null(0).to_numpy(zero_copy_only=False)
        row = int(np.argmax(found)) if len(found) else 0
        if len(found) and found[row] > limit:
            raise DataError(f"has {found[row]:,} {unit}, but at most {limit:,} are allowed", column=name, row=row)


_NESTED = {pa.list_(pa.null()).id, pa.large_list(pa.null()).id, pa.map_(pa.string(), pa.string()).id}
"""Arrow's numbers of the types whose values have elements: those may take no memory at all, as nulls do."""


def _map_lengths(column: Any) -> pa.Array:
    offsets = column.offsets.to_numpy()[: len(column) + 1]
    return pa.array(np.diff(offsets))


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    )
