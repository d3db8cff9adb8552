"""Events of a table in pieces: those of a period alone, and their items by number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator
from typing_extensions import Self

from easyrec.errors import DataError
from easyrec.llm.items import batches_of
from feature_generator.config import StrictModel, fault

Column = Annotated[str, Field(min_length=1, max_length=200)]


class Period(StrictModel):
    """Events of a table, up to a moment where one is named."""

    path: str = Field(min_length=1)
    """A file of Parquet, which is read in pieces, CSV or JSON lines."""
    item: Column = "item_id"
    """The column of the item."""
    time: Column | None = None
    """The column that says when it happened."""
    before: int | float | datetime | date | None = None
    """Only events before this: a number where times are numbers, else a date, with a time or without."""

    @model_validator(mode="after")
    def _timed(self) -> Self:
        if self.before is not None and self.time is None:
            raise fault("needs 'time': the column that says when events happened", "before")
        return self


def events_of(period: Period, columns: Sequence[str], where: str) -> Iterator[pa.RecordBatch]:
    """Events of a period: no column is null, and the times are before its end.

    Args:
        period: Says which.
        columns: That are wanted, beside `item` and `time`.
        where: The section of the config, for errors.

    Raises:
        ConfigError: A column is missing.
        DataError: The table cannot be read, or a time is none.
    """
    wanted = list(dict.fromkeys([period.item, *columns, *([period.time] if period.time else [])]))
    for batch in batches_of(Path(period.path), wanted, where):
        kept = batch.drop_null()
        if period.time is not None and period.before is not None:
            end = end_of(period, kept[period.time].type)
            kept = kept.filter(pa.array(moments(kept[period.time], period) < end))
        if kept.num_rows:
            yield kept


def moments(column: pa.Array, period: Period) -> np.ndarray:
    """Times as numbers that can be compared: microseconds since 1970, or as they are.

    Raises:
        DataError: They are no times.
    """
    if pa.types.is_temporal(column.type):
        try:
            column = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
        except pa.ArrowException:
            raise DataError(f"{column.type} is no time", file=period.path, column=period.time or "") from None
    elif not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise DataError(
            f"{column.type} is no time: timestamps, dates and numbers are", file=period.path, column=period.time or ""
        )
    numbers: np.ndarray = column.to_numpy(zero_copy_only=False)
    return numbers


def end_of(period: Period, kind: pa.DataType) -> float | int:
    """`before` in the unit of the times.

    Raises:
        DataError: It is a date and times are numbers, or the other way round.
    """
    before, told = period.before, f"'before' is {period.before}"
    if isinstance(before, date):  # a datetime is one too
        if not pa.types.is_temporal(kind):
            raise DataError(
                f"{told}, but times are of type {kind}: write a number", file=period.path, column=period.time or ""
            )
        moment = before if isinstance(before, datetime) else datetime(before.year, before.month, before.day)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        return round(aware.timestamp() * 1e6)
    assert before is not None
    if pa.types.is_temporal(kind):
        raise DataError(
            f"{told}, but times are of type {kind}: write a date", file=period.path, column=period.time or ""
        )
    return before


def plain(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One array, of values rather than of their numbers in a dictionary."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return whole.dictionary_decode() if pa.types.is_dictionary(whole.type) else whole


def numbers_of(column: pa.Array, ids: pa.Array, path: str, name: str) -> np.ndarray:
    """(n,) int64, the number of each value among `ids`; -1 where it is not there.

    Raises:
        DataError: The values are of another kind than the ids.
    """
    values = plain(column)
    if values.type != ids.type:
        try:
            values = values.cast(ids.type)
        except pa.ArrowException:
            raise DataError(f"{values.type} cannot be an id of type {ids.type}", file=path, column=name) from None
    found: np.ndarray = pc.fill_null(pc.index_in(values, value_set=ids), -1).to_numpy(zero_copy_only=False)
    return found.astype(np.int64)
