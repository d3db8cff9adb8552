"""A look at the data before anything trains: types, missing values, unknown words, label balance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from easyrec.config.mask import Mask
from easyrec.data.beside import raw_name
from easyrec.data.intake import raw_columns
from easyrec.data.labels import Wrong, read_label, read_weight
from easyrec.data.report import count
from easyrec.data.sources import Source
from easyrec.data.split import Part
from feature_generator import Column, FeatureGenerator, OutputSpec, Table

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
        unknown: Share of ids that are the one of unknown words (a word that shares it counts too), or of rows with
            a number outside `num_buckets`; None where there is neither.
        distinct: Number of different ids seen; None for numbers.
    """

    empty: float
    unknown: float | None = None
    distinct: int | None = None


@dataclass(frozen=True)
class LabelSample:
    """A label, or the sample weights.

    Attributes:
        mean: Of the usable values; the share of ones where the label is binary.
        values: How often the most frequent values occur.
        unusable: Share of rows whose value is no number, or neither 0 nor 1 where the label is binary.
        wrong: What is wrong with the first of them; empty where all can be used.
    """

    mean: float
    values: dict[str, int]
    unusable: float
    wrong: str = ""


@dataclass(frozen=True)
class Sample:
    """What a sample of the rows shows.

    Attributes:
        rows: Rows that were read.
        total: Rows of the source, None where only reading tells.
        columns: By raw column, of those that are used.
        features: By feature.
        labels: By label.
        bad: Number of bad values by (column, reason); the column is empty for rows that could not be parsed.
        weights: The sample weights, where there are some.
        counted: By mask, the share of rows that it leaves.
    """

    rows: int
    total: int | None
    columns: dict[str, ColumnSample]
    features: dict[str, FeatureSample] = field(default_factory=dict)
    labels: dict[str, LabelSample] = field(default_factory=dict)
    bad: dict[tuple[str, str], int] = field(default_factory=dict)
    weights: LabelSample | None = None
    counted: dict[Mask, float] = field(default_factory=dict)


def sample(
    source: Source | Part,
    rows: int,
    generator: FeatureGenerator | None = None,
    labels: Mapping[str, int | None] | None = None,
    extra: Sequence[str] = (),
    weight: str | None = None,
    masks: Sequence[Mask] = (),
) -> Sample:
    """Read about `rows` rows, spread over the source, and describe them.

    Args:
        source: What to read.
        rows: How many rows at most.
        generator: Describe its inputs and features too.
        labels: Label -> number of classes (2: binary), 0 for a number of at least 0, None for any.
        extra: More raw columns to describe.
        weight: Column of the sample weights.
        masks: Which rows count for tasks; they read labels.

    Raises:
        ConfigError: The source lacks a column that the generator or a label needs.
        DataError: The rows cannot be read.
    """
    labels = labels or {}
    part = Part(source) if isinstance(source, Source) else source
    source = part.source
    raw = raw_columns(generator, source) if generator else list(source.columns)
    mode = generator.mode if generator else "raw"
    labels_at = {name: raw_name(name, source.columns, mode) for name in labels}
    weight_at = None if weight is None else raw_name(weight, source.columns, mode)
    others = [raw_name(name, source.columns, mode) for name in extra] + ([] if weight_at is None else [weight_at])
    columns = list(dict.fromkeys([*raw, *labels_at.values(), *others]))
    source.require(columns)
    table = read_sample(part, rows, columns)
    malformed = Counter(reason for unit in source.units() for reason in Counter(source.dropped(unit)).elements())
    dropped = {("", reason): number for reason, number in malformed.items()}
    described = {name: _column(table.column(name)) for name in columns}
    if not table.num_rows:
        return Sample(0, source.num_rows, described, bad=dropped)
    rows_of = table.combine_chunks().to_batches()[0]
    read = {name: read_label(rows_of, labels_at[name], classes) for name, classes in labels.items()}
    found = {name: _label(*both) for name, both in read.items()}
    weights = None if weight_at is None else _label(*read_weight(rows_of, weight_at))
    values = {name: numbers for name, (numbers, _) in read.items()}
    counted = {mask: float(mask.rows(values).mean()) for mask in masks}
    if generator is None:
        return Sample(table.num_rows, source.num_rows, described, {}, found, dropped, weights, counted)
    table = table.select(raw)
    made = generator.transform(table, bad_rows="default")
    outside = _outside(generator, table)
    features = {name: _feature(spec, made, outside) for name, spec in generator.outputs.items()}
    bad = dropped | count({(value.row, value.column, value.reason) for value in made.bad})
    return Sample(table.num_rows, source.num_rows, described, features, found, bad, weights, counted)


def read_sample(part: Part, rows: int, columns: list[str]) -> pa.Table:
    """Up to `rows` rows of a part, spread over its source: the columns `columns`."""
    source, units = part.source, part.predicate.units(part.source) if part.predicate else part.source.units()
    spread = np.unique(np.linspace(0, len(units) - 1, NUM_UNITS).astype(int)).tolist() if units else []
    share = -(-rows // max(1, len(spread)))
    wanted = list(dict.fromkeys([*columns, part.predicate.column])) if part.predicate else columns
    tables = [pa.schema([(name, source.columns[name]) for name in columns]).empty_table()]
    left = rows
    for index in [*spread, *sorted(set(range(len(units))) - set(spread))]:
        of_unit = min(share, left)
        for batch in source.read(units[index], wanted):
            inside = batch if part.predicate is None else batch.filter(part.predicate.rows(batch))
            taken = inside.slice(0, of_unit)
            tables.append(pa.Table.from_batches([taken.select(columns)]))
            of_unit, left = of_unit - taken.num_rows, left - taken.num_rows
            if not of_unit:
                break
        if not left:
            break
    return pa.concat_tables(tables, promote_options="permissive")


def _column(column: pa.ChunkedArray) -> ColumnSample:
    kind = column.type
    present = column.drop_null()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        present = present.filter(pc.not_equal(present, ""))
    example = str(present[0].as_py()) if len(present) else ""
    missing = 1 - len(present) / len(column) if len(column) else 0.0
    return ColumnSample(str(kind), missing, example if len(example) <= 40 else example[:39] + "…")


def _label(values: np.ndarray, wrong: Wrong | None) -> LabelSample:
    usable = np.ones(len(values), bool)
    if wrong is not None:
        usable[wrong.rows] = False
    distinct, counts = np.unique(values[usable], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:10]
    frequent = {f"{distinct[i]:g}": int(counts[i]) for i in order}
    mean = float(values[usable].mean(dtype=np.float64)) if usable.any() else float("nan")
    told = "" if wrong is None else wrong.tell(int(wrong.rows[0]))
    return LabelSample(mean, frequent, 1 - float(usable.mean()), told)


def _feature(spec: OutputSpec, table: Table, outside: Mapping[str, int]) -> FeatureSample:
    column = table[spec.name]
    if isinstance(column, Column):
        return FeatureSample(empty=0.0)
    empty = 0.0 if column.offsets is None else float((np.diff(column.offsets) == 0).mean())
    if column.values.ndim > 1:
        return FeatureSample(empty)
    config, unknown = spec.config, None
    if getattr(config, "num_buckets", None) is not None:
        unknown = outside.get(spec.name, 0) / table.num_rows
    elif getattr(config, "vocabulary_key", "") and len(column.values):
        other = 1 if config.default_bucketize_value is None else config.default_bucketize_value
        unknown = float((column.values == other).mean())
    return FeatureSample(empty, unknown, len(np.unique(column.values)))


def _outside(generator: FeatureGenerator, table: pa.Table) -> dict[str, int]:
    """Rows with a number outside `num_buckets`, by feature: what the generator would not tell by itself."""

    def strict(config: Any) -> Any:
        if getattr(config, "features", None) is not None:
            return config.model_copy(update={"features": [strict(child) for child in config.features]})
        bounded = getattr(config, "num_buckets", None) is not None and hasattr(config, "out_of_range")
        return config.model_copy(update={"out_of_range": "error"}) if bounded else config

    features = [strict(config) for config in generator.features]
    if not any(_bounded(spec) for spec in generator.outputs.values()):
        return {}
    config = generator.config.model_copy(update={"features": features})
    made = FeatureGenerator(config, generator.mode, generator.folder).transform(table, bad_rows="default")
    rows = {(value.feature, value.row) for value in made.bad if _bounded(generator.outputs.get(value.feature))}
    return dict(Counter(feature for feature, _ in rows))


def _bounded(spec: OutputSpec | None) -> bool:
    return getattr(spec and spec.config, "num_buckets", None) is not None
