"""`Rows`: some rows after the generator, with what the trainer needs beside the features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from feature_generator.columns import Column, Table


@dataclass(frozen=True)
class Rows:
    """Features, labels, weights and reserved columns of n rows.

    Attributes:
        table: The features.
        labels: (n,) float32 each.
        sample_weight: (n,) float32, or None.
        reserved: Raw columns, or None where none are wanted.
    """

    table: Table
    labels: Mapping[str, np.ndarray]
    sample_weight: np.ndarray | None = None
    reserved: pa.Table | None = None

    def __len__(self) -> int:
        return self.table.num_rows

    @property
    def nbytes(self) -> int:
        """Memory of features, labels and weights; reserved columns as Arrow counts them."""
        total = self.table.dense.nbytes + sum(label.nbytes for label in self.labels.values())
        for column in self.table.values():
            if not isinstance(column, Column):
                parts = (column.values, column.offsets, column.weights, column.key_offsets)
                total += sum(part.nbytes for part in parts if part is not None)
        total += 0 if self.sample_weight is None else self.sample_weight.nbytes
        return total + (0 if self.reserved is None else self.reserved.nbytes)

    def take(self, indices: np.ndarray) -> Rows:
        """The rows at `indices`, (m,) int64."""
        return Rows(
            self.table.take(indices),
            {name: label.take(indices) for name, label in self.labels.items()},
            None if self.sample_weight is None else self.sample_weight.take(indices),
            None if self.reserved is None else self.reserved.take(pa.array(indices)),
        )

    def slice(self, start: int, stop: int) -> Rows:
        """The rows `start .. stop`, values not copied."""
        if start == 0 and stop == len(self):
            return self
        return Rows(
            self.table.slice(start, stop),
            {name: label[start:stop] for name, label in self.labels.items()},
            None if self.sample_weight is None else self.sample_weight[start:stop],
            None if self.reserved is None else self.reserved.slice(start, stop - start),
        )

    @staticmethod
    def concat(parts: Sequence[Rows]) -> Rows:
        """The rows of all parts, one part after another."""
        if len(parts) == 1:
            return parts[0]
        first = parts[0]
        weights = [part.sample_weight for part in parts if part.sample_weight is not None]
        reserved = [part.reserved for part in parts if part.reserved is not None]
        return Rows(
            Table.concat([part.table for part in parts]),
            {name: np.concatenate([part.labels[name] for part in parts]) for name in first.labels},
            np.concatenate(weights) if weights else None,
            pa.concat_tables(reserved, promote_options="permissive") if reserved else None,
        )
