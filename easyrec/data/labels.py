"""Labels and sample weights: raw columns to float32, with every value checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class Wrong:
    """Rows whose value cannot be used.

    Attributes:
        column: Their column.
        rows: (n,) int64, ascending.
        reason: What the values should have been.
        tell: The whole sentence about the value in one of the rows.
    """

    column: str
    rows: np.ndarray
    reason: str
    tell: Callable[[int], str]


def read_label(batch: pa.RecordBatch, column: str, classes: int | None) -> tuple[np.ndarray, Wrong | None]:
    """A label column as numbers.

    Args:
        batch: n rows.
        column: Name of the label.
        classes: 2 for a binary label, the number of classes of a multi-class label, 0 for a number of at least 0, None
            for any number.

    Returns:
        (n,) float32, and what cannot be used.
    """
    values = _numbers(batch.column(column))
    if classes is None:
        return values, _wrong(batch, column, ~np.isfinite(values), "must be a finite number")
    if classes == 0:
        return values, _wrong(
            batch, column, ~((values >= 0) & np.isfinite(values)), "must be a finite number, at least 0"
        )
    if classes == 2:
        return values, _wrong(batch, column, (values != 0) & (values != 1), "must be 0 or 1")
    fits = (values >= 0) & (values < classes) & (values == np.floor(values))
    return values, _wrong(batch, column, ~fits, f"must be a whole number from 0 to {classes - 1}")


def read_weight(batch: pa.RecordBatch, column: str) -> tuple[np.ndarray, Wrong | None]:
    """The sample weights: (n,) float32, and what cannot be used."""
    values = _numbers(batch.column(column))
    return values, _wrong(batch, column, ~((values >= 0) & np.isfinite(values)), "must be a finite number, at least 0")


def _wrong(batch: pa.RecordBatch, column: str, bad: np.ndarray, reason: str) -> Wrong | None:
    if not bad.any():
        return None

    def tell(row: int) -> str:
        value = batch.column(column)[row].as_py()
        return f"{reason}, but is {'null' if value is None else repr(value)}"

    return Wrong(column, np.flatnonzero(bad), reason, tell)


def _numbers(column: pa.Array) -> np.ndarray:
    """(n,) float32; null and what is no number become NaN."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.uint8())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        column = _parse(column.cast(pa.string()))
    elif pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)):
        return np.full(len(column), np.nan, np.float32)
    if column.null_count:
        column = pc.fill_null(column.cast(pa.float32(), safe=False), float("nan"))
    return np.asarray(column.to_numpy(zero_copy_only=False)).astype(np.float32)


def _parse(texts: pa.StringArray) -> pa.Array:
    try:
        return texts.cast(pa.float32())
    except pa.ArrowInvalid:
        numbers = pc.match_substring_regex(texts, r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$")
        return pc.if_else(numbers, texts, None).cast(pa.float32())
