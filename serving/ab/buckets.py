"""Buckets: a unit's place among 10,000, by a salted hash; of one unit, and of columns of units."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from feature_generator.native import murmur64a

BUCKETS = 10_000
_SEED = 0xC70F6907
_M = np.uint64(0xC6A4A7935BD1E995)
_R = np.uint64(47)
_ROWS = 65_536
"""Units that are hashed at a time."""

__all__ = ["BUCKETS", "bucket", "hash_one", "hashes", "prefix", "texts"]


def prefix(*names: str) -> bytes:
    """What stands before a unit where it is hashed; no two lists of names have the same."""
    return "".join(f"{len(name)}:{name}/" for name in names).encode()


def hash_one(salt: bytes, unit: bytes) -> int:
    """MurmurHash64A of the salt and the unit."""
    return int(murmur64a(salt + unit))


def bucket(salt: bytes, unit: bytes) -> int:
    """The unit's bucket, 0 to 9,999."""
    return int(murmur64a(salt + unit)) % BUCKETS


def texts(units: Iterable[Any]) -> pa.LargeStringArray:
    """Units as a column of texts; whole numbers are their decimal text.

    Raises:
        ValueError: One is null.
    """
    column = units if isinstance(units, pa.Array | pa.ChunkedArray) else pa.array(units)
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    column = column.cast(pa.large_string())
    if column.null_count:
        raise ValueError("a unit is null")
    return column


def hashes(salt: bytes, units: pa.LargeStringArray) -> NDArray[np.uint64]:
    """`hash_one` of each unit.

    Args:
        salt: What `prefix` gives.
        units: What `texts` gives.
    """
    _, offsets, data = units.buffers()
    ends = np.frombuffer(offsets, np.int64)[units.offset : units.offset + len(units) + 1]
    held = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
    lengths = np.diff(ends)
    result = np.empty(len(units), np.uint64)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        for part in range(0, len(rows), _ROWS):
            here = rows[part : part + _ROWS]
            result[here] = _of_equal_length(salt, held, ends[here], int(length))
    return result


def _of_equal_length(
    salt: bytes, data: NDArray[np.uint8], starts: NDArray[np.int64], length: int
) -> NDArray[np.uint64]:
    """Hashes of texts of one length: all of them a block of eight bytes further at a time."""
    total = len(salt) + length
    padded = np.zeros((len(starts), -(-total // 8) * 8), np.uint8)
    padded[:, : len(salt)] = np.frombuffer(salt, np.uint8)
    padded[:, len(salt) : total] = data[starts[:, None] + np.arange(length)]
    blocks = padded.view("<u8")
    with np.errstate(over="ignore"):
        state = np.full(len(starts), np.uint64(_SEED) ^ (np.uint64(total) * _M), np.uint64)
        for at in range(total // 8):
            mixed = blocks[:, at] * _M
            mixed ^= mixed >> _R
            state = (state ^ mixed * _M) * _M
        if total % 8:
            state = (state ^ blocks[:, -1]) * _M
        state = (state ^ state >> _R) * _M
        return state ^ state >> _R
