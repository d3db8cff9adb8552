"""`Intake`: the way of a raw record batch to `Rows`, through every check and the generator."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from easyrec.config.data import Leakage, NegativeSampling
from easyrec.data.beside import with_raw_names
from easyrec.data.labels import Wrong, read_label, read_weight
from easyrec.data.leakage import find_leaks
from easyrec.data.report import Report, count
from easyrec.data.rows import Rows
from easyrec.data.sources import Policy, Source, Unit
from easyrec.data.split import Predicate, keep_negatives
from easyrec.errors import DataError
from feature_generator.origin import check_origin

if TYPE_CHECKING:
    from feature_generator import FeatureGenerator
    from feature_generator.columns import Table

logger = logging.getLogger("easyrec.data")
MADE_UP = "is true: a model made this row up, and models are measured by what people did; keep such rows for training"


@dataclass(frozen=True)
class Demand:
    """Which rows are wanted, and which columns beside the features.

    Attributes:
        labels: Label -> number of classes (2: binary), 0 for a number of at least 0, None for any number. Empty in
            prediction.
        sample_weight: Column of the weights.
        reserved: Columns to pass through.
        predicate: Which rows are this part's; None: all.
        negatives: Down-sampling of rows whose first label is 0.
        leakage: The leakage check.
        bad_rows: What becomes of rows that break the rules.
        seed: Seed of the down-sampling.
        threads: Threads of the generator.
        missing: Tells which rows of a table, made of raw ones, are about items that there are not.
        made_up: Column that is true of rows that a model made up, which are refused; None: nobody looks.
    """

    labels: Mapping[str, int | None]
    sample_weight: str | None = None
    reserved: Sequence[str] = ()
    predicate: Predicate | None = None
    negatives: NegativeSampling | None = None
    leakage: Leakage | None = None
    bad_rows: Policy = "fail"
    seed: int = 0
    threads: int = 1
    missing: Callable[[Table, pa.RecordBatch], Wrong | None] | None = None
    made_up: str | None = None


def raw_columns(generator: FeatureGenerator, source: Source) -> list[str]:
    """Columns of the source that the generator's inputs are in.

    A grouped sequence may stand in one column of objects: `click_seq` for `click_seq__item_id`.
    """
    known = source.columns
    heads = {name: name.partition("__")[0] for name in generator.inputs}
    return list(dict.fromkeys(head if name not in known and head in known else name for name, head in heads.items()))


class Intake:
    """Turns record batches of a source into rows for a model.

    Args:
        source: Where the batches come from; names places in errors.
        generator: Makes the features.
        demand: Which rows and columns are wanted.

    Attributes:
        columns: Raw columns that are read.
        threads: Threads of the generator; the rows do not depend on it.

    Raises:
        ConfigError: The source lacks a column.
    """

    def __init__(self, source: Source, generator: FeatureGenerator, demand: Demand) -> None:
        self.source, self.generator = source, generator
        self._labels, self._reserved = list(demand.labels), list(demand.reserved)
        self.demand = demand = with_raw_names(demand, source.columns, generator.mode)
        extra = [*demand.labels, *([demand.sample_weight] if demand.sample_weight else []), *demand.reserved]
        extra += [demand.predicate.column] if demand.predicate else []
        extra += [demand.leakage.time, *demand.leakage.sequences] if demand.leakage else []
        extra += [demand.made_up] if demand.made_up else []
        self._features = raw_columns(generator, source)
        source.require(self._features, "features")
        source.require(extra, "data")
        for file, origin in source.origins():
            check_origin(origin, generator, file)
        self.columns = list(dict.fromkeys([*self._features, *extra]))
        self.threads = demand.threads
        self._warned = False

    def nothing(self) -> Rows:
        """No rows, with all columns."""
        fields = [pa.field(name, self.source.columns[name]) for name in self.columns]
        batch = pa.RecordBatch.from_pylist([], pa.schema(fields))
        labels, weight, _ = self._values(batch)
        table = self.generator.transform(batch.select(self._features))
        passed = self._passed(batch) if self.demand.reserved else None
        return Rows(table, dict(zip(self._labels, labels.values(), strict=True)), weight, passed)

    def __call__(self, batch: pa.RecordBatch, unit: Unit, first_row: int, epoch: int) -> tuple[Rows | None, Report]:
        """The wanted rows of a batch, and what was wrong with it.

        Args:
            batch: Rows `first_row ..` of the unit.
            unit: Unit that they belong to.
            first_row: Row inside the unit.
            epoch: Decides which negatives stay.

        Raises:
            DataError: A row breaks a rule and the policy is to fail; names file, row and column.
        """
        rows = np.arange(first_row, first_row + batch.num_rows)
        if self.demand.predicate is not None:
            inside = self.demand.predicate.rows(batch)
            chosen = np.asarray(inside.fill_null(False).to_numpy(zero_copy_only=False))
            batch, rows = _choose(batch, rows, chosen)
        report = Report(read=len(rows))
        if self.demand.made_up is not None:
            self._refuse(batch, self.demand.made_up, unit, rows)
        if self.demand.leakage is not None and len(rows):
            report += self._leaks(batch, unit, rows)
        labels, weight, wrongs = self._values(batch)
        keep = np.ones(len(rows), bool)
        if wrongs and self.demand.bad_rows == "fail":
            first = min(wrongs, key=lambda wrong: int(wrong.rows[0]))
            raise self._error(first, unit, rows)
        for wrong in wrongs:  # no default can stand for a label: the row is left out under every other policy
            keep[wrong.rows] = False
            report += Report(bad={(wrong.column, wrong.reason): len(wrong.rows)})
        if self.demand.negatives is not None and self.demand.negatives.keep_rate < 1.0:
            sample = keep_negatives(self.demand.seed, epoch, unit.index, rows, self.demand.negatives.keep_rate)
            keep &= sample | (next(iter(labels.values())) != 0)
        batch, rows = _choose(batch, rows, keep)
        if not len(rows):
            return None, report
        table = self._transform(batch, unit, rows)
        chosen = np.flatnonzero(keep)
        if table.kept is not None:
            chosen, rows = chosen[table.kept], rows[table.kept]
            batch = batch.take(pa.array(table.kept)) if self.demand.reserved or self.demand.missing else batch
        bad = table.bad
        lacking = None if self.demand.missing is None else self.demand.missing(table, batch)
        if lacking is not None:
            if self.demand.bad_rows == "fail":
                raise self._error(lacking, unit, rows)
            stay = np.ones(len(rows), bool)
            stay[lacking.rows] = False
            table, chosen, batch = table.take(np.flatnonzero(stay)), chosen[stay], batch.filter(pa.array(stay))
            report += Report(bad={(lacking.column, lacking.reason): len(lacking.rows)})
        made = Rows(
            table,
            {
                name: values if len(chosen) == len(values) else values[chosen]
                for name, values in zip(self._labels, labels.values(), strict=True)
            },
            weight if weight is None or len(chosen) == len(weight) else weight[chosen],
            self._passed(batch) if self.demand.reserved else None,
        )
        report += Report(kept=len(made), bad=count({(b.row, b.column, b.reason) for b in bad}))
        return (made if len(made) else None), report

    def _passed(self, batch: pa.RecordBatch) -> pa.Table:
        """The reserved columns under the names that the config gives them."""
        return pa.Table.from_batches([batch.select(list(self.demand.reserved))]).rename_columns(self._reserved)

    def _values(self, batch: pa.RecordBatch) -> tuple[dict[str, np.ndarray], np.ndarray | None, list[Wrong]]:
        labels, wrongs = {}, []
        for name, classes in self.demand.labels.items():
            labels[name], wrong = read_label(batch, name, classes)
            wrongs.append(wrong)
        weight = None
        if self.demand.sample_weight is not None:
            weight, wrong = read_weight(batch, self.demand.sample_weight)
            wrongs.append(wrong)
        return labels, weight, [wrong for wrong in wrongs if wrong is not None]

    def _refuse(self, batch: pa.RecordBatch, column: str, unit: Unit, rows: np.ndarray) -> None:
        """Look for rows that a model made up; `bad_rows` does not excuse them: what they say is nobody's.

        Raises:
            DataError: There is one.
        """
        found = np.flatnonzero(np.asarray(batch.column(column).fill_null(False)))
        if len(found):
            raise self._error(Wrong(column, found, "synthetic", lambda _: MADE_UP), unit, rows)

    def _leaks(self, batch: pa.RecordBatch, unit: Unit, rows: np.ndarray) -> Report:
        """Count the leaks, and fail at the first or warn once.

        A leak is a mistake in how the data was made, not a bad row: `bad_rows` does not excuse it.
        """
        assert self.demand.leakage is not None
        report = Report()
        for wrong in find_leaks(batch, self.demand.leakage):
            error = self._error(wrong, unit, rows)
            if self.demand.leakage.action == "fail":
                raise error
            if not self._warned:
                logger.warning("%s; later cases are only counted", error)
                self._warned = True
            report += Report(bad={(wrong.column, wrong.reason): len(wrong.rows)})
        return report

    def _transform(self, batch: pa.RecordBatch, unit: Unit, rows: np.ndarray) -> Table:
        try:
            return self.generator.transform(
                batch.select(self._features), threads=self.threads, bad_rows=self.demand.bad_rows
            )
        except DataError as error:
            raw = self.generator.mode == "encoded" and not any(True for _ in self.source.origins())
            reason = error.reason + "; data.fg is 'encoded': raw rows are read with data.fg=raw" * raw
            if error.row is None:
                raise DataError(reason, column=error.column, file=unit.file or unit.description) from error
            place = self.source.locate(unit, int(rows[error.row]))
            raise DataError(reason, column=error.column, row=place.row, file=place.file, line=place.line) from error

    def _error(self, wrong: Wrong, unit: Unit, rows: np.ndarray) -> DataError:
        first = int(wrong.rows[0])
        place = self.source.locate(unit, int(rows[first]))
        return DataError(wrong.tell(first), column=wrong.column, row=place.row, file=place.file, line=place.line)


def _choose(batch: pa.RecordBatch, rows: np.ndarray, mask: np.ndarray) -> tuple[pa.RecordBatch, np.ndarray]:
    return (batch, rows) if mask.all() else (batch.filter(pa.array(mask)), rows[mask])
