"""Rows out of JSON text: columns are read without making an object of each value."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, overload

import pyarrow as pa

from feature_generator.native import read_json_rows


class JsonRows(Sequence[Mapping[str, Any]]):
    """A list of objects that a JSON text holds, as columns; as mappings too, which are only made where somebody asks.

    Attributes:
        text: The list's JSON.
        batch: Every column that any row has, null where a row lacks it, in the order in which they first come.
    """

    def __init__(self, text: bytes, batch: pa.RecordBatch) -> None:
        self.text, self.batch = text, batch

    @classmethod
    def lift(cls, body: bytes, key: str) -> tuple[JsonRows, bytes] | None:
        """Take a list out of an object's JSON.

        Args:
            body: The object's JSON.
            key: Under which the list stands.

        Returns:
            The list, and the JSON with null in its place, which may have faults behind the list; None where the list is not
            there or empty, or where a general parser has to judge it.
        """
        read = read_json_rows(body, key)
        if read is None:
            return None
        begin, end, columns = read
        return cls(body[begin:end], pa.record_batch(columns)), body[:begin] + b"null" + body[end:]

    @property
    def names(self) -> list[str]:
        """The columns that any row has."""
        found: list[str] = self.batch.schema.names
        return found

    def columns(self, names: Sequence[str]) -> pa.RecordBatch | None:
        """Columns by name, null where no row has one; None where one stands in objects of a list, as fields of sequences do."""
        known = self.names
        if known == list(names):
            return self.batch
        arrays = []
        for name in names:
            if name in known:
                arrays.append(self.batch.column(name))
                continue
            head = name.partition("__")[0]
            if head in known and not pa.types.is_null(self.batch.schema.field(head).type):
                return None
            arrays.append(pa.nulls(self.batch.num_rows))
        return pa.RecordBatch.from_arrays(arrays, list(names)) if arrays else None

    @cached_property
    def plain(self) -> list[dict[str, Any]]:
        """The rows as Python has them."""
        made: list[dict[str, Any]] = json.loads(self.text)
        return made

    def __len__(self) -> int:
        rows: int = self.batch.num_rows
        return rows

    @overload
    def __getitem__(self, row: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, row: slice) -> list[dict[str, Any]]: ...

    def __getitem__(self, row: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        return self.plain[row]
