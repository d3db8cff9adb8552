"""The catalogue: the features of all items that can be recommended, computed once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from easyrec.data.intake import Demand, Intake, raw_columns
from easyrec.data.labels import Wrong
from easyrec.data.report import Report
from easyrec.data.rows import Rows
from easyrec.data.sources import Policy
from easyrec.data.split import Part
from easyrec.errors import ConfigError, DataError, Problem
from feature_generator.columns import Column, Ragged, Table

logger = logging.getLogger("easyrec.data")

if TYPE_CHECKING:
    from easyrec.data.sides import Sides
    from easyrec.data.sources import Source
    from feature_generator import FeatureGenerator, OutputSpec


class Catalogue:
    """N items, numbered from 0 in the order of their source.

    Args:
        table: Their features.
        ids: (N,) their ids in the data.
        key: The feature that tells items apart.
        outputs: What the table's columns are.

    Attributes:
        numbers: (ids of the key,) which item has an id of the key feature, -1 where none has.

    Raises:
        DataError: There is no item, one has no single id, or one is there twice.
    """

    def __init__(self, table: Table, ids: pa.Array, key: str, outputs: Mapping[str, OutputSpec]) -> None:
        self.table, self.ids, self.key, self.outputs = table, ids, key, outputs
        if not table.num_rows:
            raise DataError("the catalogue has no items", file="data.items")
        own = single(table, key)
        self.numbers = numbers_of(own)
        first = self.numbers[own]
        shared = np.flatnonzero(first != np.arange(len(own)))
        twice = [row for row in shared.tolist() if ids[row].as_py() == ids[int(first[row])].as_py()]
        if twice:
            raise DataError(f"'{ids[twice[0]]}' is there twice", column=key, row=twice[0], file="data.items")
        if len(shared):
            text = (
                "%s of %s items have the id of another one after hashing, for which they are taken: give '%s' more ids"
            )
            logger.warning(text, f"{len(shared):,}", f"{len(own):,}", key)

    def __len__(self) -> int:
        return self.table.num_rows

    def find(self, keys: np.ndarray) -> np.ndarray:
        """(n,) int64, the items with these ids of the key feature, -1 where there is none."""
        return find(self.numbers, keys)


def numbers_of(keys: np.ndarray) -> np.ndarray:
    """(ids of the key,) int64, the first item of each id, -1 where no item has it."""
    numbers = np.full(int(keys.max()) + 1, -1, np.int64)
    numbers[keys[::-1]] = np.arange(len(keys))[::-1]
    return numbers


def find(numbers: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """(n,) int64, the items with these ids, -1 where there is none; `numbers` is what `numbers_of` gives."""
    known = (keys >= 0) & (keys < len(numbers))
    return np.where(known, numbers[np.where(known, keys, 0)], -1)


def read_catalogue(source: Source, sides: Sides) -> Catalogue:
    """The items of a source.

    Args:
        source: One row per item.
        sides: What describes an item.

    Raises:
        ConfigError: The source lacks a column.
        DataError: A row is bad, or two items have the same id.
    """
    made = sides.generator("items")
    (column, *_) = raw_columns(made.only([sides.key]), source)
    reports: list[Report] = []
    options: dict[str, Any] = {"missing": Unnamed(sides.key, column), "told": reports.append}
    try:
        parts = list(rows_of(Part(source), made, [column], sides.experiment.data.bad_rows, **options))
    except ConfigError as error:
        raise sides.experiment.placed(
            ConfigError([Problem(problem.message, "data.items") for problem in error.problems])
        ) from None
    warn_of(reports, "data.items")
    if not parts:
        raise DataError("the catalogue has no items", file="data.items")
    whole = Rows.concat(parts)
    assert whole.reserved is not None
    return Catalogue(whole.table, whole.reserved.column(column).combine_chunks(), sides.key, made.outputs)


def rows_of(
    part: Part,
    generator: FeatureGenerator,
    reserved: Sequence[str] = (),
    bad_rows: Policy = "fail",
    missing: Any = None,
    told: Callable[[Report], None] = lambda _: None,
) -> Iterator[Rows]:
    """All rows of a part after a generator, in order, without labels; `told` is told what was wrong with them."""
    demand = Demand(labels={}, reserved=reserved, predicate=part.predicate, bad_rows=bad_rows, missing=missing)
    intake = Intake(part.source, generator, demand)
    for unit in part.source.units() if part.predicate is None else part.predicate.units(part.source):
        row = 0
        for batch in part.source.read(unit, intake.columns):
            rows, report = intake(batch, unit, row, 0)
            told(report)
            row += batch.num_rows
            if rows is not None:
                yield rows


def warn_of(reports: Sequence[Report], where: str) -> None:
    """Say once what was wrong with the rows that were read, where anything was."""
    whole = sum(reports, Report())
    if whole.num_bad:
        logger.warning("%s: %s", where, whole.summary())


class Unnamed:
    """Finds items that have no id, or several.

    Args:
        key: The feature that tells items apart.
        raw: Its column of the data.
    """

    def __init__(self, key: str, raw: str) -> None:
        self.key, self.raw = key, raw

    def __call__(self, table: Table, batch: pa.RecordBatch) -> Wrong | None:
        """The rows of these items, None where all have one.

        Args:
            table: Some rows.
            batch: The same ones, raw.
        """
        offsets = table.ragged(self.key).offsets
        if offsets is None:
            return None
        counts = np.diff(offsets)
        rows = np.flatnonzero(counts != 1)
        return Wrong(self.raw, rows, NOT_ONE, lambda row: not_one(counts[row])) if len(rows) else None


NOT_ONE = "must have one id"


def not_one(count: int) -> str:
    """What is wrong with a row that has so many ids in place of one."""
    return f"{NOT_ONE}, but has {count or 'none'}"


def single(table: Table, key: str) -> np.ndarray:
    """(n,) int64, the ids of a feature that has one in every row.

    Raises:
        DataError: A row has none, or several.
    """
    column = table[key]
    if isinstance(column, Column):
        raise DataError("must be a feature of ids", column=key)
    assert isinstance(column, Ragged)
    if column.offsets is not None:
        wrong = np.flatnonzero(np.diff(column.offsets) != 1)
        if len(wrong):
            row = int(wrong[0])
            raise DataError(not_one(int(np.diff(column.offsets)[row])), column=key, row=row)
    return column.values
