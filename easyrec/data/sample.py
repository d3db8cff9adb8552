"""A look at the data before anything trains: types, missing values, unknown words, label balance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from easyrec.data.labels import read_label
from easyrec.data.report import count
from easyrec.data.sources import Source
from feature_generator.columns import Column, Table

if TYPE_CHECKING:
    from feature_generator import FeatureGenerator

NUM_UNITS = 8
"""Units that a sample is drawn from, evenly spread over the source."""


@dataclass(frozen=True)
class ColumnSample:
    """A raw column.

    Attributes:
        type: As Arrow calls it.
        missing: Share of rows that are null or an empty text, 0 to 1.
        example: The first value that is neither, shortened.
    """

    type: str
    missing: float
    example: str


@dataclass(frozen=True)
class FeatureSample:
    """A feature.

    Attributes:
        empty: Share of rows without any value.
        unknown: Share of ids that no word of the vocabulary has; None where there is no vocabulary.
        distinct: Number of different ids seen; None for numbers.
    """

    empty: float
    unknown: float | None = None
    distinct: int | None = None


@dataclass(frozen=True)
class LabelSample:
    """A label.

    Attributes:
        mean: Of the usable values; the share of ones where the label is binary.
        values: How often the most frequent values occur.
        unusable: Share of rows whose value is no number, or neither 0 nor 1 where the label is binary.
    """

    mean: float
    values: dict[str, int]
    unusable: float


@dataclass(frozen=True)
class Sample:
    """What a sample of the rows shows.

    Attributes:
        rows: Rows that were read.
        total: Rows of the source, None where only reading tells.
        columns: By raw column, of those that are used.
        features: By feature.
        labels: By label.
        bad: Number of bad values by (column, reason).
    """

    rows: int
    total: int | None
    columns: dict[str, ColumnSample]
    features: dict[str, FeatureSample] = field(default_factory=dict)
    labels: dict[str, LabelSample] = field(default_factory=dict)
    bad: dict[tuple[str, str], int] = field(default_factory=dict)


def sample(
    source: Source,
    rows: int,
    generator: FeatureGenerator | None = None,
    labels: Mapping[str, int | None] | None = None,
    extra: Sequence[str] = (),
) -> Sample:
    """Read about `rows` rows, spread over the source, and describe them.

    Args:
        source: What to read.
        rows: How many rows at most.
        generator: Describe its inputs and features too.
        labels: Label -> number of classes (2: binary), None for a number.
        extra: More raw columns to describe.

    Raises:
        ConfigError: The source lacks a column that the generator or a label needs.
        DataError: The rows cannot be read.
    """
    labels = labels or {}
    needed = [*(generator.inputs if generator else source.columns), *labels, *extra]
    columns = list(dict.fromkeys(needed))
    source.require(columns)
    table = _read(source, rows, columns)
    described = {name: _column(table.column(name)) for name in columns}
    found = {name: _label(table, name, classes) for name, classes in labels.items()} if table.num_rows else {}
    if generator is None or not table.num_rows:
        return Sample(table.num_rows, source.num_rows, described, {}, found)
    made = generator.transform(table, bad_rows="default")
    features = {name: _feature(generator, name, made) for name in generator.outputs}
    bad = count({(value.row, value.column, value.reason) for value in made.bad})
    return Sample(table.num_rows, source.num_rows, described, features, found, bad)


def _read(source: Source, rows: int, columns: list[str]) -> pa.Table:
    units = source.units()
    chosen = [units[i] for i in np.unique(np.linspace(0, len(units) - 1, NUM_UNITS).astype(int))] if units else []
    batches: list[pa.RecordBatch] = []
    left = rows
    for position, unit in enumerate(chosen):
        share = -(-left // (len(chosen) - position))
        for batch in source.read(unit, columns):
            batches.append(batch.slice(0, share))
            share -= batches[-1].num_rows
            left -= batches[-1].num_rows
            if share <= 0:
                break
    schema = pa.schema([(name, source.columns[name]) for name in columns])
    return pa.Table.from_batches(batches) if batches else schema.empty_table()


def _column(column: pa.ChunkedArray) -> ColumnSample:
    kind = column.type
    present = column.drop_null()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        present = present.filter(pc.not_equal(present, ""))
    example = str(present[0].as_py()) if len(present) else ""
    missing = 1 - len(present) / len(column) if len(column) else 0.0
    return ColumnSample(str(kind), missing, example if len(example) <= 40 else example[:39] + "…")


def _label(table: pa.Table, name: str, classes: int | None) -> LabelSample:
    batch = table.select([name]).combine_chunks().to_batches()[0]
    values, wrong = read_label(batch, name, classes)
    usable = np.ones(len(values), bool)
    if wrong is not None:
        usable[wrong.rows] = False
    distinct, counts = np.unique(values[usable], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:10]
    frequent = {f"{distinct[i]:g}": int(counts[i]) for i in order}
    mean = float(values[usable].mean(dtype=np.float64)) if usable.any() else float("nan")
    return LabelSample(mean, frequent, 1 - float(usable.mean()))


def _feature(generator: FeatureGenerator, name: str, table: Table) -> FeatureSample:
    column = table[name]
    if isinstance(column, Column):
        return FeatureSample(empty=0.0)
    empty = 0.0 if column.offsets is None else float((np.diff(column.offsets) == 0).mean())
    if column.values.ndim > 1:
        return FeatureSample(empty)
    return FeatureSample(empty, None, len(np.unique(column.values)))
