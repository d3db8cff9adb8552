"""What in the raw values of a call was missing, or unknown to the generator: counted, never changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_generator import FeatureGenerator, Table
from feature_generator.discretizer import IdConfig
from feature_generator.features.id import Config as Id

_OFFSETS: dict[int, type[np.signedinteger[Any]]] = {
    pa.string().id: np.int32,
    pa.large_string().id: np.int64,
    pa.binary().id: np.int32,
    pa.large_binary().id: np.int64,
}
"""Offset type of each text type, by Arrow's number of it."""


class Observer:
    """Counts of missing and unknown values.

    A word outside a vocabulary is recognised by the id that stands for such words: with `default_bucketize_value` this
    may also be a word's own id, and that word counts as unknown too. Hashes know no unknown values. A number outside
    `num_buckets` is looked for in the raw column, where the feature's ids stand in one: in that of an `id` feature.

    Args:
        generator: Whose inputs and outputs are looked at.
        only: The outputs that are looked at; default: all.
    """

    def __init__(self, generator: FeatureGenerator, only: Collection[str] | None = None) -> None:
        self._unknown_ids: dict[str, int] = {}
        self._ranges: dict[str, tuple[str, int, str]] = {}
        for name, spec in generator.outputs.items() if generator.mode == "raw" else ():
            config = spec.config
            if only is not None and name not in only:
                continue
            if not isinstance(config, IdConfig) or config.out_of_range == "error":
                continue
            if config.vocabulary_key:
                given = config.default_bucketize_value
                self._unknown_ids[name] = 1 if given is None else given
            elif isinstance(config, Id) and config.num_buckets is not None:
                (source,) = config.sources
                if source.side in ("feature", "const"):
                    continue
                grouped = spec.sequence is not None and spec.sequence != name
                column = f"{spec.sequence}__{source.name}" if grouped else source.name
                self._ranges[name] = (column, config.num_buckets, config.separator)

    def count(
        self, batches: Sequence[pa.RecordBatch], tables: Sequence[Table]
    ) -> tuple[dict[str, int], dict[str, int]]:
        """What was missing and what was unknown.

        Args:
            batches: The raw columns, each in one of them.
            tables: The features; each is looked for in the first table that has it.

        Returns:
            By raw column, values that are null or an empty text; by feature, values outside its vocabulary or range.
        """
        return self.missing(batches), self.unknown(batches, tables)

    def missing(self, batches: Iterable[pa.RecordBatch]) -> dict[str, int]:
        """By raw column, values that are null or an empty text."""
        counts = {}
        for batch in batches:
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                count = _absent(column)
                if count:
                    counts[name] = count
        return counts

    def unknown(self, batches: Iterable[pa.RecordBatch], tables: Sequence[Table]) -> dict[str, int]:
        """By feature, values outside its vocabulary (in the first of the tables that has it) or its range (in the batches)."""
        counts = {}
        for name, unknown in self._unknown_ids.items():
            table = next(t for t in tables if name in t)
            count = int(np.count_nonzero(table.ragged(name).values == unknown))
            if count:
                counts[name] = count
        if self._ranges:
            columns = {name: batch.column(name) for batch in batches for name in batch.schema.names}
            for name, (column, size, separator) in self._ranges.items():
                count = _outside(columns[column], size, separator)
                if count:
                    counts[name] = count
        return counts


def _absent(column: Any) -> int:
    """Nulls and empty texts of a column."""
    kind, nulls = column.type.id, int(column.null_count)
    if kind not in _OFFSETS:
        return nulls
    if nulls:
        return nulls + int(np.count_nonzero(pc.binary_length(column).fill_null(1).to_numpy() == 0))
    offsets = np.frombuffer(column.buffers()[1], _OFFSETS[kind])[column.offset : column.offset + len(column) + 1]
    return len(column) - int(np.count_nonzero(offsets[1:] != offsets[:-1]))


def _outside(column: Any, size: int, separator: str) -> int:
    """How many whole numbers of a column lie outside 0 .. size - 1."""
    kind = column.type
    if pa.types.is_map(kind):
        return _outside(column.keys, size, separator)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _outside(column.flatten(), size, separator)
    present = column.drop_null()
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        values = present.to_numpy(zero_copy_only=False)
        return int(np.count_nonzero((values < 0) | (values >= size)))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        parts = (part for text in present.to_pylist() for part in text.split(separator))
        return sum(not 0 <= number < size for number in map(_number, parts) if number is not None)
    return 0


def _number(text: str) -> int | None:
    try:
        return int(text.partition(":")[0])
    except ValueError:
        return None  # no number at all: the generator calls it bad
