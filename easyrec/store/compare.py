"""Columns side by side: where they differ, and how far."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def same(one: pa.Array, other: pa.Array) -> np.ndarray:
    """(n,) bool: whether values are the same, bit for bit but for signs of zeros; nulls are the same, and so are NaN.

    Args:
        one: (n,) values.
        other: (n,) values of the same type.
    """
    nulls, others = _bools(one.is_null()), _bools(other.is_null())
    if isinstance(one, (pa.ListArray, pa.LargeListArray, pa.FixedSizeListArray, pa.MapArray)):
        equal = _same_lists(one, other)
    elif isinstance(one, pa.StructArray):
        children = [same(one.field(i), other.field(i)) for i in range(one.type.num_fields)]
        equal = np.logical_and.reduce([np.ones(len(one), bool), *children])
    else:
        equal = _bools(pc.fill_null(pc.equal(one, other), False))
        if pa.types.is_floating(one.type):
            equal |= _bools(pc.fill_null(pc.and_(pc.is_nan(one), pc.is_nan(other)), False))
    made: np.ndarray = np.where(nulls | others, nulls & others, equal)
    return made


def _same_lists(one: pa.Array, other: pa.Array) -> np.ndarray:
    lengths = [pc.fill_null(pc.list_value_length(_plain(column)), 0).to_numpy() for column in (one, other)]
    alike: np.ndarray = lengths[0] == lengths[1]
    kept = pa.array(alike & (lengths[0] > 0))
    items = [pc.list_flatten(_plain(column).filter(kept)) for column in (one, other)]
    if len(items[0]):
        sizes = lengths[0][np.asarray(kept)]
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        alike[np.asarray(kept)] = np.logical_and.reduceat(same(*items), starts)
    return alike


def _plain(column: pa.Array) -> pa.Array:
    """A map as a list of its entries."""
    if isinstance(column, pa.MapArray):
        entries = pa.StructArray.from_arrays([column.keys, column.items], ["key", "value"])
        column = pa.ListArray.from_arrays(column.offsets, entries, mask=column.is_null())
    return column


def _bools(column: pa.Array) -> np.ndarray:
    made: np.ndarray = np.asarray(column.to_numpy(zero_copy_only=False), bool)
    return made


def smape(one: pa.Array, other: pa.Array) -> float | None:
    """Mean of ``2 |a - b| / (|a| + |b|)`` over numbers that are in both; None where there is none."""
    if isinstance(one, pa.FixedSizeListArray):
        both = pc.and_(one.is_valid(), other.is_valid())
        one, other = (pc.list_flatten(column.filter(both)) for column in (one, other))
    if not (pa.types.is_floating(one.type) or pa.types.is_integer(one.type)):
        return None
    both = pc.and_(one.is_valid(), other.is_valid())
    a, b = (column.filter(both).cast(pa.float64(), safe=False).to_numpy() for column in (one, other))
    if not len(a):
        return None
    total = np.abs(a) + np.abs(b)
    with np.errstate(invalid="ignore", divide="ignore"):
        terms = np.where(total == 0.0, 0.0, 2.0 * np.abs(a - b) / total)
    finite = terms[np.isfinite(terms)]
    return float(finite.mean()) if len(finite) else None


def edits(one: list[object], other: list[object]) -> int:
    """Items to insert, remove or replace to make one of the other (Levenshtein)."""
    former = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        row = [i]
        for j, right in enumerate(other, 1):
            row.append(min(former[j] + 1, row[-1] + 1, former[j - 1] + (left != right)))
        former = row
    return former[-1]
