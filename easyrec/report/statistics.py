"""Statistics of generated features: what a sample of rows looks like to the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feature_generator import OutputSpec
from feature_generator.columns import Column, Ragged, Table

BARS = 24


@dataclass(frozen=True)
class FeatureStatistics:
    """What a sample shows of one feature.

    Attributes:
        name: Feature name.
        kind: `sparse`, `dense`, `sparse_sequence` or `dense_sequence`.
        empty: Share of rows without a value; for a dense feature the share of zeros.
        per_row: Mean number of values of a row.
        distinct: Different ids in the sample; 0 for numbers.
        num_embeddings: Rows of its table; 0 where it has none.
        mean: Mean of the numbers; None for ids.
        std: Their standard deviation.
        low: Their minimum.
        high: Their maximum.
        top_share: Share of the most frequent id among all ids; None for numbers.
        histogram: Numbers in equal steps from the 1st to the 99th percentile, or the most frequent ids, descending.
    """

    name: str
    kind: str
    empty: float
    per_row: float
    distinct: int = 0
    num_embeddings: int = 0
    mean: float | None = None
    std: float | None = None
    low: float | None = None
    high: float | None = None
    top_share: float | None = None
    histogram: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The statistics as plain data."""
        return asdict(self)


def statistics(table: Table, outputs: Mapping[str, OutputSpec]) -> list[FeatureStatistics]:
    """Statistics of every feature of a transformed sample, in the order of `outputs`."""
    return [_of(spec, table[name], table.num_rows) for name, spec in outputs.items()]


def _of(spec: OutputSpec, column: Column | Ragged, rows: int) -> FeatureStatistics:
    values = np.asarray(column.values)
    if isinstance(column, Column):
        zeros = float(np.mean(np.all(values == 0, axis=1))) if rows else 0.0
        return _numbers(spec, values, zeros, float(values.shape[1]))
    lengths = np.ones(rows, np.int64) if column.offsets is None else np.diff(column.offsets)
    empty = float(np.mean(lengths == 0)) if rows else 0.0
    per_row = float(lengths.mean()) if rows else 0.0
    if values.ndim == 2:
        return _numbers(spec, values, empty, per_row)
    _, counts = np.unique(values, return_counts=True)
    counts = np.sort(counts)[::-1]
    return FeatureStatistics(
        spec.name,
        spec.kind,
        empty,
        per_row,
        distinct=len(counts),
        num_embeddings=spec.rows or 0,
        top_share=float(counts[0] / counts.sum()) if len(counts) else None,
        histogram=tuple(float(c) for c in counts[:BARS]),
    )


def _numbers(spec: OutputSpec, values: NDArray[Any], empty: float, per_row: float) -> FeatureStatistics:
    flat = values.reshape(-1).astype(np.float64)
    if not len(flat):
        return FeatureStatistics(spec.name, spec.kind, empty, per_row)
    low, high = np.percentile(flat, [1, 99])
    if high <= low:
        low, high = float(flat.min()), float(flat.max()) + 1e-9
    counts = np.histogram(np.clip(flat, low, high), BARS, (low, high))[0]
    return FeatureStatistics(
        spec.name,
        spec.kind,
        empty,
        per_row,
        mean=float(flat.mean()),
        std=float(flat.std()),
        low=float(flat.min()),
        high=float(flat.max()),
        histogram=tuple(float(c) for c in counts),
    )
