"""The rows that are searched: read once, as codes of words, numbers, and what the features of the config make of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from easyrec.config import Experiment
from easyrec.config.cross import CrossConfig
from easyrec.config.data import SplitByTime
from easyrec.data import Part, open_sources
from easyrec.data.feed import PartFeed
from easyrec.data.labels import Wrong, read_label, read_weight
from easyrec.errors import ConfigError, DataError, Problem
from easyrec.processors import num_threads
from easyrec.tune.cross.cardinality import Distinct
from easyrec.tune.cross.codes import MOST, Array, Codes, Line, Term, compact
from easyrec.tune.cross.column import Column, columns_of, used_features
from feature_generator import Column as Dense
from feature_generator import FeatureGenerator, OutputSpec
from feature_generator.columns import Ragged
from feature_generator.feed import Block
from feature_generator.generator import BadRows

logger = logging.getLogger("easyrec.tune")

SAMPLE = 2000
"""Rows that costs are measured on."""
PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


@dataclass
class Searched:
    """All rows: those that weights are fitted on, then those that gains are measured on, then `valid`.

    Attributes:
        experiment: The config.
        config: Its section.
        columns: What features can be made of, by name.
        labels: (rows,) 0 or 1.
        weight: (rows,) sample weights, None where there are none.
        time: (rows,) seconds, None where the data tells no time.
        time_column: The column of the time, where it holds numbers.
        fit, judge, valid: Spans of rows; `valid` may be empty.
        words: Codes of columns of words.
        dictionary: Word of each code, from code 1 on.
        numbers: (rows,) values of columns of numbers, NaN where missing.
        base: What the features of the config make, by feature.
        left_out: Features that the probes do without, and why.
        distinct: Different words of each column, about, of all rows of `train`.
        available: (rows,) seconds at which columns were known, where another column tells.
        total: Rows of `train`.
        sample: Some raw rows.
    """

    experiment: Experiment
    config: CrossConfig
    columns: dict[str, Column]
    labels: Array
    weight: Array | None
    time: Array | None
    time_column: str | None
    fit: slice
    judge: slice
    valid: slice
    words: dict[str, Codes]
    dictionary: dict[str, pa.Array]
    numbers: dict[str, Array]
    base: dict[str, Term]
    left_out: dict[str, str]
    distinct: dict[str, float]
    available: dict[str, Array]
    total: int
    sample: pa.RecordBatch

    @property
    def train(self) -> slice:
        """The rows of `train`."""
        return slice(0, self.judge.stop)


@dataclass
class _Gathered:
    """What was read of a part."""

    labels: list[Array] = field(default_factory=list)
    weight: list[Array] = field(default_factory=list)
    time: list[Array] = field(default_factory=list)
    available: dict[str, list[Array]] = field(default_factory=dict)
    words: dict[str, list[pa.DictionaryArray]] = field(default_factory=dict)
    lengths: dict[str, list[Array]] = field(default_factory=dict)
    numbers: dict[str, list[Array]] = field(default_factory=dict)
    made: dict[str, list[Ragged | Dense]] = field(default_factory=dict)
    samples: list[pa.RecordBatch] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return sum(map(len, self.labels))


class Reader:
    """Reads the parts of the data.

    Args:
        experiment: The config.
        data: Rows by part that stand in for the config's.

    Raises:
        ConfigError: There is no `train`, or a column that the section names.
    """

    def __init__(self, experiment: Experiment, data: Mapping[str, object] | None) -> None:
        self.experiment = experiment
        self.config = experiment.sections.cross or CrossConfig()
        self.sources = open_sources(experiment, data)
        if self.sources.train is None:
            raise experiment.placed(
                ConfigError([Problem("features are searched on data.train, and there is none", "data")])
            )
        self.types = self.sources.train.columns
        columns = columns_of(experiment, self.sources.train.source, self.config.columns)
        self.columns = {column.name: column for column in columns}
        self.used = used_features(experiment)
        self.base = experiment.generator.only(list(self.used)) if self.used else None
        self.reader = FeatureGenerator.load({"features": [column.reader for column in columns]}) if columns else None
        self.label = experiment.tasks[0].label
        self.time = self._time_column()
        check = self.config.time_check
        told = check.available_at.items() if check else ()
        self.available = {column: at for column, at in told if isinstance(at, str)}
        wanted = [self.label, *self.available.values(), *([self.time] if self.time else [])]
        if experiment.data.sample_weight:
            wanted.append(experiment.data.sample_weight)
        for generator in (self.base, self.reader):
            wanted += list(generator.inputs) if generator is not None else []
        self.wanted = list(dict.fromkeys(wanted))
        for name, part in (("data.train", self.sources.train), ("data.valid", self.sources.valid)):
            if part is not None:
                try:
                    part.source.require(self.wanted, name)
                except ConfigError as error:
                    raise experiment.placed(error) from None

    def _time_column(self) -> str | None:
        data = self.experiment.data
        if data.event_time is not None:
            return data.event_time
        return data.split.column if isinstance(data.split, SplitByTime) else None

    def read(self, stopped: Callable[[], bool] = lambda: False) -> Searched:
        """Read `train` and `valid`.

        Args:
            stopped: Whether to give up, with a KeyboardInterrupt.

        Raises:
            DataError: A row cannot be used, or there are too few.
        """
        train, valid = self.sources.train, self.sources.valid
        assert train is not None
        distinct = {name: Distinct() for name, column in self.columns.items() if column.kind == "words"}
        known, own = _Gathered(), _Gathered()
        total = self._gather(train, known, distinct, stopped)
        if valid is not None:
            self._gather(valid, own, {}, stopped)
        if known.rows < 100:
            raise DataError(f"data.train has {known.rows} rows, and a search needs 100 or more")
        return self._searched(known, own, distinct, total)

    # --------------------------------------------------------------------------------------------- reading

    def _gather(
        self,
        part: Part,
        into: _Gathered,
        distinct: Mapping[str, Distinct],
        stopped: Callable[[], bool],
    ) -> int:
        """Read the newest rows of a part; gives the number of all its rows."""
        wanted, total = self._newest(part)
        seen = 0
        for block in PartFeed(part).blocks(self.wanted):
            if stopped():
                raise KeyboardInterrupt
            kept = wanted(block, seen)
            seen += block.batch.num_rows
            self._add(block, kept, into, distinct)
        part.source.close()
        return total or seen

    def _newest(self, part: Part) -> tuple[Callable[[Block, int], Array | None], int | None]:
        """Which rows of a block, that stands behind so many others, are among the newest; None: all."""
        most, rows = self.config.rows, part.source.num_rows
        if rows is not None and rows <= most:
            return lambda block, before: None, None
        blocks = PartFeed(part).blocks([self.time or self.label])
        if self.time is None:
            total = sum(block.batch.num_rows for block in blocks)
            first = total - most
            return lambda block, before: np.arange(before, before + block.batch.num_rows) >= first, total
        column = self.time
        times = np.concatenate([self._seconds(block, column) for block in blocks])
        if len(times) <= most:
            return lambda block, before: None, len(times)
        bound = float(np.partition(times, len(times) - most)[len(times) - most])
        return lambda block, before: self._seconds(block, column) >= bound, len(times)

    def _add(self, block: Block, kept: Array | None, into: _Gathered, distinct: Mapping[str, Distinct]) -> None:
        batch = block.batch
        values = self._made(block, batch) if distinct or kept is None or kept.any() else {}
        for name, counted in distinct.items():
            flat = values[name].flatten()
            counted.add(flat.dictionary_encode().dictionary)
        good = np.flatnonzero(self._usable(block, kept))
        if len(good) < batch.num_rows:
            chosen = pa.array(good)
            batch, values = batch.take(chosen), {name: lists.take(chosen) for name, lists in values.items()}
        if not batch.num_rows:
            return
        into.labels.append(read_label(batch, self.label, 2)[0].astype(np.float64))
        if self.experiment.data.sample_weight:
            into.weight.append(read_weight(batch, self.experiment.data.sample_weight)[0].astype(np.float64))
        if self.time is not None:
            into.time.append(self._seconds(block, self.time)[good])
        for name, column in self.available.items():
            into.available.setdefault(name, []).append(self._seconds(block, column)[good])
        for name, lists in values.items():
            self._add_column(name, lists, into)
        if self.base is not None:
            policy: BadRows = "fail" if self.experiment.data.bad_rows == "fail" else "default"
            try:
                table = self.base.transform(batch, threads=num_threads(), bad_rows=policy)
            except DataError as error:
                raise _placed(error, block, good) from error
            for name in self.used:
                into.made.setdefault(name, []).append(table[name])
        if sum(sample.num_rows for sample in into.samples) < SAMPLE:
            into.samples.append(batch.slice(0, SAMPLE))

    def _made(self, block: Block, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        """The values of all columns, those that can be read."""
        if self.reader is None:
            return {}
        try:
            return self.reader.values(batch, threads=num_threads())
        except DataError as error:
            raise _placed(error, block) from error

    def _usable(self, block: Block, kept: Array | None) -> Array:
        """Rows that are wanted and whose label and weight can be used."""
        good = np.ones(block.batch.num_rows, bool) if kept is None else kept.copy()
        found = [read_label(block.batch, self.label, 2)[1]]
        if self.experiment.data.sample_weight:
            found.append(read_weight(block.batch, self.experiment.data.sample_weight)[1])
        for wrong in filter(None, found):
            if self.experiment.data.bad_rows == "fail":
                raise _wrong(wrong, block)
            good[wrong.rows] = False
        return good

    def _add_column(self, name: str, lists: pa.Array, into: _Gathered) -> None:
        lengths = np.diff(lists.offsets.to_numpy())
        if self.columns[name].kind == "words":
            into.words.setdefault(name, []).append(lists.flatten().dictionary_encode())
            into.lengths.setdefault(name, []).append(lengths)
            return
        numbers = np.full(len(lists), np.nan)
        numbers[lengths > 0] = lists.flatten().to_numpy()[np.cumsum(lengths)[lengths > 0] - 1]
        into.numbers.setdefault(name, []).append(numbers)

    def _seconds(self, block: Block, column: str) -> Array:
        """(rows,) times of a block in seconds.

        Raises:
            DataError: The column holds no times, or a row has none.
        """
        values = block.batch.column(column)
        unit = PER_SECOND[self.config.time_unit]
        if pa.types.is_timestamp(values.type):
            unit = PER_SECOND[values.type.unit]
            values = values.cast(pa.int64())
        elif pa.types.is_date(values.type):
            unit, values = 1.0, values.cast(pa.timestamp("s")).cast(pa.int64())
        elif not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
            error = DataError(f"a time must be a number or a moment, but the column holds {values.type}", column=column)
            raise _placed(error, block)
        if values.null_count:
            row = int(pc.index(pc.is_null(values), True).as_py())
            raise _placed(DataError("must be a time, but is null", column=column, row=row), block)
        return np.asarray(values.to_numpy(zero_copy_only=False)).astype(np.float64) / unit

    # --------------------------------------------------------------------------------------- putting together

    def _searched(self, known: _Gathered, own: _Gathered, distinct: Mapping[str, Distinct], total: int) -> Searched:
        labels = np.concatenate([*known.labels, *own.labels])
        time = np.concatenate([*known.time, *own.time]) if self.time else None
        order = _in_time(time, known.rows)
        cut = _cut(time, order, known.rows, self.config.holdout)

        def ordered(parts: Sequence[Array]) -> Array:
            return np.concatenate(parts)[order]

        words, dictionary = {}, {}
        for name in known.words:
            codes, dictionary[name] = _codes(name, known, own)
            words[name] = codes.take(order)
        base: dict[str, Term] = {}
        left_out: dict[str, str] = {}
        for name in known.made:
            term = _term([*known.made[name], *own.made.get(name, [])], self.used[name], slice(0, cut))
            if isinstance(term, str):
                left_out[name] = term
            else:
                base[name] = term.take(order)
        labelled = labels[order]
        for span, what in ((slice(0, cut), "older"), (slice(cut, known.rows), "newest")):
            if len(np.unique(labelled[span])) < 2:
                raise DataError(f"all of the {what} rows of data.train have one label: nothing can be told apart")
        return Searched(
            self.experiment,
            self.config,
            self.columns,
            labelled,
            ordered([*known.weight, *own.weight]) if known.weight else None,
            None if time is None else time[order],
            self.time if self.time and _is_number(self.types[self.time]) else None,
            slice(0, cut),
            slice(cut, known.rows),
            slice(known.rows, len(labels)),
            words,
            dictionary,
            {name: ordered([*parts, *own.numbers.get(name, [])]) for name, parts in known.numbers.items()},
            base,
            left_out,
            {name: counted.estimate for name, counted in distinct.items()},
            {name: ordered([*parts, *own.available.get(name, [])]) for name, parts in known.available.items()},
            total,
            pa.Table.from_batches(known.samples).combine_chunks().to_batches()[0].slice(0, SAMPLE),
        )


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _in_time(time: Array | None, rows: int) -> Array:
    """The order of rows: those of `train` by their time, then the others as they come."""
    total = rows if time is None else len(time)
    if time is None:
        return np.arange(total)
    return np.concatenate([np.argsort(time[:rows], kind="stable"), np.arange(rows, total)])


def _cut(time: Array | None, order: Array, rows: int, holdout: float) -> int:
    """The first row that gains are measured on: rows of one moment stay together."""
    cut = int(rows * (1.0 - holdout))
    if time is not None:
        times = time[order[:rows]]
        later = int(np.searchsorted(times, times[cut], side="left"))
        cut = later if later >= rows * 0.1 else int(np.searchsorted(times, times[cut], side="right"))
    if not 0 < cut < rows:
        raise DataError("all rows of data.train have one time: no later ones are left to measure gains on")
    return cut


def _codes(name: str, known: _Gathered, own: _Gathered) -> tuple[Codes, pa.Array]:
    chunks = [*known.words[name], *own.words.get(name, [])]
    unified = pa.chunked_array(chunks).unify_dictionaries()
    values = np.concatenate([chunk.indices.to_numpy(zero_copy_only=False) for chunk in unified.chunks])
    words = unified.chunks[-1].dictionary
    lengths = np.concatenate([*known.lengths[name], *own.lengths.get(name, [])])
    return _ragged(values.astype(np.int32) + 1, lengths, len(words) + 1), words


def _ragged(values: Array, lengths: Array, size: int) -> Codes:
    """Codes of rows of so many values: where no row has more than one, one code per row."""
    if len(lengths) and lengths.max() > 1:
        offsets = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        return Codes(values, size, offsets)
    if len(values) == len(lengths):
        return Codes(values, size)
    whole = np.zeros(len(lengths), values.dtype)
    whole[lengths > 0] = values
    return Codes(whole, size)


def _term(parts: Sequence[Ragged | Dense], spec: OutputSpec, fit: slice) -> Term | str:
    """What a feature adds to a logit; a text says why it is left out."""
    if isinstance(parts[0], Dense):
        if spec.value_dim != 1:
            return f"a vector of {spec.value_dim} numbers"
        values = np.concatenate([part.values[:, 0] for part in parts if isinstance(part, Dense)]).astype(np.float64)
        deviation = float(values[fit].std())
        return Line((values - float(values[fit].mean())) / (deviation or 1.0))
    whole = Ragged.concat([part for part in parts if isinstance(part, Ragged)])
    if whole.weights is not None:
        return "weighted ids"
    if spec.dynamic is None and spec.num_embeddings is not None and spec.num_embeddings < MOST:
        return _ragged((whole.values + 1).astype(np.int32), whole.lengths, spec.num_embeddings + 1)
    found = compact(whole.values + 1)
    return _ragged(found.values, whole.lengths, found.size)


def _wrong(wrong: Wrong, block: Block) -> DataError:
    row = int(wrong.rows[0])
    place = block.locate(row)
    return DataError(wrong.tell(row), column=wrong.column, row=place.row, line=place.line, file=place.file)


def _placed(error: DataError, block: Block, rows: Array | None = None) -> DataError:
    """The error with the place of its row, which counts among `rows` of the block where they are given."""
    place = block.locate(error.row or 0 if rows is None else int(rows[error.row or 0]))
    row, line = (None, None) if error.row is None else (place.row, place.line)
    return DataError(error.reason, column=error.column, row=row, line=line, file=place.file)
