"""A bounded sample of each part of the data, with its features before they are put into buckets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from easyrec.check import classes, columns, generators
from easyrec.config import Experiment
from easyrec.data import Part, open_sources, unread
from easyrec.data.beside import raw_name
from easyrec.data.intake import raw_columns
from easyrec.data.labels import read_label
from easyrec.errors import ConfigError
from easyrec.tune.advise.counting import least_spread, likely_distinct
from easyrec.tune.advise.hashing import row_hashes
from feature_generator import Column, FeatureGenerator, Table
from feature_generator.columns import Ragged
from feature_generator.dynamic import KEYS

TIMES = ("timestamp", "event_time", "time", "ts", "unixtime", "datetime", "date", "day", "dt")
"""Columns that are taken for the time of a row where the config names none."""

UNITS, LEAST_UNITS = 32, 4
"""Units that a sample is drawn from at most, and at least where they are long."""
PIECES = 8
"""Slices of what is read at once of a unit."""
DECODED = 1_000_000
"""Rows that are read of a part at most to draw a sample from."""


@dataclass(frozen=True)
class Ids:
    """The ids of a feature in a sample.

    Attributes:
        values: (n,) int64.
        rows: (n,) int64, the row of each, ascending.
        distinct: (D,) the different ones, ascending.
        counts: (D,) how often each occurs.
        total: Ids of all rows, about; None where nobody knows.
        pieces: (n,) int64, the slice of the data that each is out of.
    """

    values: np.ndarray
    rows: np.ndarray
    distinct: np.ndarray
    counts: np.ndarray
    total: float | None
    pieces: np.ndarray

    @property
    def known(self) -> float:
        """Share of the values in every other slice that the slices between them have too.

        Rows of one slice are of one time, and as a rule of one session: whether a value comes again is told by others.
        """
        odd = self.pieces % 2 == 1
        return float(np.isin(self.values[~odd], self.values[odd]).mean()) if odd.any() and not odd.all() else 0.0

    @property
    def likely(self) -> float:
        """Different ids of all rows, about, or at least."""
        found = likely_distinct(self.counts)
        return found if self.total is None else min(found, max(self.total, len(self.distinct)))

    @property
    def single(self) -> bool:
        """Whether each id comes once, as far as the sample can tell, in all rows."""
        return self.total is not None and least_spread(self.counts) >= self.total


@dataclass
class Seen:
    """A sample of a part.

    Attributes:
        name: Of the part.
        raw: The rows as they are read: slices of many units, the rows of each in their order.
        total: Rows of the part, None where only reading tells.
        table: Their features; ids of hashes and numbers have not been put into the buckets of the config.
        labels: By name, (rows,) float32; NaN where it is none.
        pieces: (rows,) int64, the slice that each row is out of.
        times: (rows,) float64, None where no column tells the time.
        clock: The column that does.
    """

    name: str
    raw: pa.Table
    total: int | None
    table: Table
    labels: dict[str, np.ndarray]
    pieces: np.ndarray
    times: np.ndarray | None = None
    clock: str = ""
    _ids: dict[str, Ids | None] = field(default_factory=dict)
    _hashes: np.ndarray | None = None

    @property
    def rows(self) -> int:
        """Rows that were read."""
        return int(self.raw.num_rows)

    @property
    def share(self) -> float | None:
        """Part of all rows that was read."""
        return None if not self.total else min(1.0, self.rows / self.total)

    @property
    def hashes(self) -> np.ndarray:
        """(rows,) equal where all that is read of two rows is."""
        if self._hashes is None:
            self._hashes = row_hashes(self.raw)
        return self._hashes

    def ids(self, output: str) -> Ids | None:
        """The ids of a feature; None of numbers, and of what these rows do not hold."""
        if output not in self._ids:
            self._ids[output] = self._read(output)
        return self._ids[output]

    def _read(self, output: str) -> Ids | None:
        found = self.table.get(output)
        if not isinstance(found, Ragged) or found.values.ndim > 1:
            return None
        keys = np.repeat(np.arange(found.elements), found.key_lengths)  # the element of each id
        rows = np.repeat(np.arange(len(found.lengths)), found.lengths)[keys]
        distinct, counts = np.unique(found.values, return_counts=True)
        total = None if self.total is None or not self.rows else len(found.values) * self.total / self.rows
        return Ids(found.values, rows, distinct, counts, total, self.pieces[rows])

    def numbers(self, output: str) -> np.ndarray | None:
        """(rows, value_dim) of a feature of numbers; None of ids."""
        found = self.table.get(output)
        return found.values if isinstance(found, Column) else None

    def empty(self, output: str) -> float:
        """Share of rows without a value of the feature; 0 of numbers, which have a default."""
        ids = self.ids(output)
        return 0.0 if ids is None or not self.rows else 1.0 - len(np.unique(ids.rows)) / self.rows


def look(experiment: Experiment, data: Mapping[str, Any] | None, rows: int) -> dict[str, Seen]:
    """Samples of `train` and `valid`, as far as they are there and have rows and an end.

    Args:
        experiment: Says where rows are.
        data: Rows by part that stand in for the config's.
        rows: How many of each part at most.

    Raises:
        ConfigError: The data lack what the config asks for.
        DataError: They cannot be read.
    """
    sources = open_sources(experiment, data)
    made = generators(experiment)
    found = {}
    for name in ("train", "valid"):
        part: Part | None = getattr(sources, name)
        if part is None or part.source.endless:
            continue
        try:
            seen = _seen(experiment, name, part, made.get(name, experiment.generator), rows)
        except ConfigError as error:
            raise experiment.placed(error) from None
        finally:
            part.source.close()
        if seen.rows:
            found[name] = seen
    return found


def _seen(experiment: Experiment, name: str, part: Part, generator: FeatureGenerator, rows: int) -> Seen:
    source = part.source
    raw = raw_columns(generator, source)
    wanted = classes(experiment) if generator is experiment.generator else {}
    labels = {label: raw_name(label, source.columns, generator.mode) for label in wanted}
    absent = unread(experiment, [part], training=name == "train")
    beside = [raw_name(c, source.columns, generator.mode) for c in columns(experiment, name) if c not in absent]
    clock = _clock(experiment, source.columns)
    source.require([*raw, *labels.values()])
    batch, pieces = read_spread(
        part, rows, list(dict.fromkeys([*raw, *labels.values(), *beside, *([clock] if clock else [])]))
    )
    found = opened(generator).transform(batch.select(raw), bad_rows="default")
    read = {}
    for label, column in labels.items():
        if batch.num_rows:
            values, wrong = read_label(batch.to_batches()[0], column, wanted[label])
            values = values.astype(np.float32)
            if wrong is not None:
                values[wrong.rows] = np.nan
            read[label] = values
    return Seen(name, batch, _total(part), found, read, pieces, _times(batch, clock), clock)


def read_spread(part: Part, rows: int, columns: list[str]) -> tuple[pa.Table, np.ndarray]:
    """Up to `rows` rows of a part from all of its length: slices out of many units, and out of all of each.

    What lies in the order of time would else be known by its beginning alone.

    Returns:
        The rows, and the number of the slice that each is out of.
    """
    source, predicate = part.source, part.predicate
    units = source.units() if predicate is None else predicate.units(source)
    length = max((unit.rows or DECODED for unit in units), default=1)
    most = min(UNITS, max(LEAST_UNITS, DECODED // max(length, 1)))
    chosen = [units[i] for i in np.unique(np.linspace(0, len(units) - 1, most).astype(int))] if units else []
    wanted = columns if predicate is None else list(dict.fromkeys([*columns, predicate.column]))
    tables = [pa.schema([(name, source.columns[name]) for name in columns]).empty_table()]
    for unit in chosen:
        share, budget, done, taken = rows // len(chosen), DECODED // len(chosen), 0, 0
        part_of = 1.0 if unit.rows is None else min(1.0, share / min(max(unit.rows, 1), budget))
        for batch in source.read(unit, wanted):
            done += batch.num_rows
            inside = batch if predicate is None else batch.filter(predicate.rows(batch))
            most_here = min(max(1, round(inside.num_rows * part_of)), share - taken)
            for piece in _pieces(inside.select(columns), most_here):
                tables.append(pa.Table.from_batches([piece]))
                taken += piece.num_rows
            if taken >= share or done >= budget:
                break
    pieces = np.repeat(np.arange(len(tables)), [table.num_rows for table in tables])
    return pa.concat_tables(tables, promote_options="permissive").unify_dictionaries().combine_chunks(), pieces


def _pieces(batch: pa.RecordBatch, rows: int) -> Iterator[pa.RecordBatch]:
    """So many rows of a batch, in slices from its beginning to its end."""
    bounds = np.linspace(0, min(rows, batch.num_rows), PIECES + 1).astype(int)
    starts = np.linspace(0, batch.num_rows, PIECES + 1).astype(int)
    for start, length in zip(starts[:-1], np.diff(bounds), strict=True):
        if length:
            yield batch.slice(start, length)


def _total(part: Part) -> int | None:
    """Rows of a part; of one that a split cuts out nobody knows."""
    return None if part.predicate is not None else part.source.num_rows


def _clock(experiment: Experiment, columns: Mapping[str, pa.DataType]) -> str:
    data = experiment.data
    named = [data.event_time, data.split.column if data.split and data.split.by == "time" else None]
    named += [data.leakage.time if data.leakage else None]
    moments = [name for name, kind in columns.items() if pa.types.is_timestamp(kind) or pa.types.is_date(kind)]
    guessed = [name for name in columns if name.lower() in TIMES]
    listed = [name for name in [*named, *moments, *guessed] if name is not None]
    return next((name for name in listed if name in columns and _is_time(columns[name])), "")


def _is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_temporal(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _times(table: pa.Table, clock: str) -> np.ndarray | None:
    if not clock or not table.num_rows:
        return None
    column = table.column(clock).combine_chunks()
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.timestamp("us", tz=getattr(column.type, "tz", None))).cast(pa.int64())
    values = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)
    return np.asarray(values, np.float64)


def opened(generator: FeatureGenerator) -> FeatureGenerator:
    """The generator with room for every id: hashes that meet seldom, numbers without a bound.

    Of encoded columns it is the generator itself: their ids were put into buckets elsewhere.
    """
    if generator.mode == "encoded":
        return generator

    def wide(config: Any) -> Any:
        if getattr(config, "features", None) is not None:
            return config.model_copy(update={"features": [wide(child) for child in config.features]})
        update: dict[str, Any] = {}
        if getattr(config, "hash_bucket_size", None) is not None:
            update = {"hash_bucket_size": KEYS}
        elif getattr(config, "num_buckets", None) is not None:
            update = {"num_buckets": KEYS, "out_of_range": "default"}
        return config.model_copy(update=update)

    config = generator.config.model_copy(update={"features": [wide(one) for one in generator.features]})
    return FeatureGenerator(config, generator.mode, generator.folder)
