"""Which rows take part: the split of one source into three, and the down-sampling of negatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from easyrec.config.data import SplitByColumn, SplitByTime
from easyrec.data.sources import Source, Unit
from easyrec.errors import ConfigError, Problem

PartName: TypeAlias = Literal["train", "valid", "test"]


@dataclass(frozen=True)
class Predicate:
    """Which rows of a source are wanted.

    Attributes:
        column: The column that decides.
        rows: (n,) bool for n rows; null counts as false.
        may_hold: Whether a unit whose values lie between two bounds can hold wanted rows.
    """

    column: str
    rows: Callable[[pa.RecordBatch], pa.BooleanArray]
    may_hold: Callable[[pa.Scalar, pa.Scalar], bool] = lambda low, high: True

    def units(self, source: Source) -> list[Unit]:
        """Units of the source that may hold wanted rows; the others need not be read."""
        kept = []
        for unit in source.units():
            bounds = source.bounds(unit, self.column)
            if bounds is None or self.may_hold(*bounds):
                kept.append(unit)
        return kept


@dataclass(frozen=True)
class Part:
    """One part of the data: a source, or some rows of one that a split divides.

    Attributes:
        source: Where the rows are.
        predicate: Which rows are this part's; None: all.
        name: What the config calls it; empty where it names no such part.
    """

    source: Source
    predicate: Predicate | None = None
    name: PartName | Literal[""] = ""

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """Type of every column."""
        return self.source.columns


def part_of(split: SplitByColumn | SplitByTime, part: PartName, kind: pa.DataType) -> Predicate:
    """A predicate that is true for the rows of one part; a null belongs to none.

    Args:
        split: How the source is divided.
        part: Which part.
        kind: Type of the column that divides.

    Raises:
        ConfigError: A bound of a split by time is no moment of such a column. A date without a zone is UTC.
    """
    if isinstance(split, SplitByColumn):
        values = [str(value) for value in getattr(split, part)]
        wanted = pa.array(values, pa.string())
        return Predicate(
            split.column,
            lambda batch: pc.is_in(pc.cast(_decoded(batch, split.column), pa.string()), wanted),
            lambda low, high: _between(values, low.as_py(), high.as_py()),
        )
    first, end = {
        "train": (None, split.valid_from),
        "valid": (split.valid_from, split.test_from),
        "test": (split.test_from, None),
    }[part]
    low = None if first is None else _moment(first, kind, split.column)
    high = None if end is None else _moment(end, kind, split.column)

    def inside(batch: pa.RecordBatch) -> pa.BooleanArray:
        column = _decoded(batch, split.column)
        if part == "test" and low is None:
            return pa.array(np.zeros(len(column), bool))
        known = pc.is_valid(column)
        if low is not None:
            known = pc.and_kleene(known, pc.greater_equal(column, low))
        if high is not None:
            known = pc.and_kleene(known, pc.less(column, high))
        return known

    def may_hold(lowest: pa.Scalar, highest: pa.Scalar) -> bool:
        begins = high is None or pc.less(lowest, high).as_py()
        return bool(begins and (low is None or pc.greater_equal(highest, low).as_py()))

    return Predicate(split.column, inside, may_hold)


def _between(values: list[str], low: Any, high: Any) -> bool:
    """Whether one of the values, which are compared as text, can lie between two bounds."""
    if isinstance(low, str):
        return any(low <= value <= high for value in values)
    if isinstance(low, int) and not isinstance(low, bool):
        return any(low <= int(value) <= high for value in values if value.lstrip("-").isdecimal())
    return True


def _decoded(batch: pa.RecordBatch, name: str) -> pa.Array:
    column = batch.column(name)
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _moment(bound: float | str, kind: pa.DataType, column: str) -> pa.Scalar:
    """The bound in the column's type; numbers that the type cannot hold stay numbers."""
    where = "data.split"
    value: Any = bound
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        if not isinstance(bound, str):
            text = f"column '{column}' holds {kind}: give an ISO date such as 2024-05-01, not {bound}"
            raise ConfigError([Problem(text, where)])
        try:
            moment = datetime.fromisoformat(bound)
        except ValueError:
            text = f"'{bound}' is no ISO date such as 2024-05-01 or 2024-05-01T12:00+08:00"
            raise ConfigError([Problem(text, where)]) from None
        if moment.tzinfo is not None:
            moment = moment.astimezone(timezone.utc).replace(tzinfo=None)
        scalar = pa.scalar(moment, pa.timestamp("us"))
        return pc.cast(scalar, pa.date32() if pa.types.is_date(kind) else kind)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        if isinstance(value, str):
            text = f"column '{column}' holds {kind}: give a number in its unit, not '{bound}'"
            raise ConfigError([Problem(text, where)])
        return pa.scalar(int(value) if float(value).is_integer() else float(value))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind):
        return pa.scalar(str(value))
    raise ConfigError([Problem(f"column '{column}' of type {kind} has no order in time", where)])


def keep_negatives(seed: int, epoch: int, unit: int, rows: np.ndarray, keep_rate: float) -> np.ndarray:
    """Which rows a down-sampling keeps: a function of the row's identity, not of the order of reading.

    Args:
        seed: Seed of the run.
        epoch: Every epoch keeps other rows.
        unit: Index of the unit that holds the rows.
        rows: (n,) int64, rows inside the unit.
        keep_rate: Probability of keeping a row.

    Returns:
        (n,) bool.
    """
    key = np.random.SeedSequence([seed & 0xFFFFFFFFFFFFFFFF, epoch, unit]).generate_state(1, np.uint64)[0]
    uniform = (_mix(rows.astype(np.uint64) + key) >> np.uint64(11)) * 2.0**-53
    return np.asarray(uniform < keep_rate)


def _mix(x: np.ndarray) -> np.ndarray:
    """SplitMix64: (n,) uint64 to (n,) uint64 that pass for random (Steele et al., OOPSLA 2014)."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(x ^ (x >> np.uint64(31)))
