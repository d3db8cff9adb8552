"""Which rows of a batch are not as they are expected to be: a mask for each expectation, by whole columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from easyrec.store.codec import column_of
from easyrec.store.quality.expectations import NullRate, Range, Unique, Values


class Rows:
    """An expectation of rows, for batch after batch.

    Args:
        expectation: It.
        join_id: The column of keys.
    """

    def __init__(self, expectation: Any, join_id: str) -> None:
        self.expectation = expectation
        self._columns = [join_id, *expectation.columns] if isinstance(expectation, Unique) else []
        self._seen = _Seen()

    def bad(self, batch: pa.RecordBatch) -> np.ndarray:
        """(rows,) bool: which are otherwise.

        Raises:
            DataError: A column is missing.
        """
        one = self.expectation
        if isinstance(one, Unique):
            return self._seen.again(hashes([column_of(batch, name) for name in self._columns]))
        column = column_of(batch, one.field)
        if isinstance(one, NullRate):
            return _mask(pc.is_null(column, nan_is_null=pa.types.is_floating(column.type)))
        values = column.flatten() if _listed(column.type) else column
        if isinstance(one, Range):
            wrong = np.zeros(len(values), bool)
            for bound, beyond in ((one.min, pc.less), (one.max, pc.greater)):
                if bound is not None:
                    wrong |= _mask(beyond(values, pa.scalar(bound)))
        else:
            assert isinstance(one, Values)
            wrong = ~(_mask(pc.is_in(values, value_set=_set(one.allowed, values.type))) | _mask(values.is_null()))
        if values is column:
            return wrong
        rows = np.zeros(len(column), bool)
        rows[pc.list_parent_indices(column).to_numpy()[wrong]] = True
        return rows


class _Seen:
    """Hashes that came, as sorted arrays of growing length, so that n of them cost n log n altogether."""

    def __init__(self) -> None:
        self._sorted: list[np.ndarray] = []

    def again(self, hashes_: np.ndarray) -> np.ndarray:
        """Which of them came before, here or in a former batch; from now on all of them did."""
        order = np.argsort(hashes_, kind="stable")
        ascending = hashes_[order]
        again = np.zeros(len(order), bool)
        again[1:] = ascending[1:] == ascending[:-1]
        for known in self._sorted:
            again |= known[np.minimum(np.searchsorted(known, ascending), len(known) - 1)] == ascending
        if not again.all():
            self._sorted.append(ascending[~again])
        while len(self._sorted) > 1 and len(self._sorted[-2]) <= 2 * len(self._sorted[-1]):
            self._sorted[-2:] = [np.sort(np.concatenate(self._sorted[-2:]), kind="stable")]
        found = np.zeros(len(order), bool)
        found[order] = again
        return found


def hashes(columns: list[pa.Array]) -> np.ndarray:
    """(rows,) uint64: equal for rows of equal values, where 7 and "7" are the same."""
    from pandas.util import hash_array  # noqa: PLC0415 (slow to import, and few views have keys to compare)

    made = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        texts = column.cast(pa.string()).to_numpy(zero_copy_only=False).astype(object)
        made = made * np.uint64(0x9E3779B97F4A7C15) + hash_array(texts, categorize=False)
    return made


def _listed(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _set(allowed: list[Any], kind: pa.DataType) -> pa.Array:
    """The allowed values as a column holds them; those that it cannot hold are none of its values."""
    made = []
    for value in allowed:
        text = isinstance(value, str) != (pa.types.is_string(kind) or pa.types.is_large_string(kind))
        try:
            made.append(pa.scalar(str(value) if text and not isinstance(value, str) else value).cast(kind))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            continue
    return pa.array([one.as_py() for one in made], kind)


def _mask(found: pa.Array) -> np.ndarray:
    made: np.ndarray = pc.fill_null(found, False).to_numpy(zero_copy_only=False)
    return made
