"""What in the raw values of a call was missing, or unknown to the generator: counted, never changed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from feature_generator import FeatureGenerator, Table
from feature_generator.discretizer import IdConfig
from feature_generator.features.id import Config as Id
from feature_generator.native import Census, FlatBatch


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
        self._census = Census([(name, column, size) for name, (column, size, _) in self._ranges.items()])

    def count(
        self, batches: Sequence[pa.RecordBatch | FlatBatch], tables: Sequence[Table]
    ) -> tuple[dict[str, int], dict[str, int]]:
        """What was missing and what was unknown.

        Args:
            batches: The raw columns, each in one of them.
            tables: The features; each is looked for in the first table that has it.

        Returns:
            By raw column, values that are null or an empty text; by feature, values outside its vocabulary or range.
        """
        missing, unknown, left = self._census.count(batches)
        for name in left:
            column, size, separator = self._ranges[name]
            count = _outside(_column(batches, column), size, separator)
            if count:
                unknown[name] = count
        for name, id_ in self._unknown_ids.items():
            table = next(t for t in tables if name in t)
            count = int(np.count_nonzero(table.ragged(name).values == id_))
            if count:
                unknown[name] = count
        return missing, unknown


def _column(batches: Sequence[pa.RecordBatch | FlatBatch], name: str) -> Any:
    return next(b.column(name) for b in map(pa.record_batch, batches) if name in b.schema.names)


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
