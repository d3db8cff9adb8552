"""A number for each row of a table, equal where all of the row's values are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

NULL = np.uint64(0x9E3779B97F4A7C15)
"""Stands for a value that is missing."""


def row_hashes(table: pa.Table) -> np.ndarray:
    """(rows,) uint64, the same for equal rows of tables with equal columns."""
    found = np.zeros(table.num_rows, np.uint64)
    with np.errstate(over="ignore"):
        for index, column in enumerate(table.columns):
            found += _mixed(_hashes(column.combine_chunks()), index)
    return found


def _hashes(array: pa.Array) -> np.ndarray:
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    kind = array.type
    if pa.types.is_map(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        found = _of_lists(array)
    elif pa.types.is_fixed_size_list(kind):
        found = _of_lists(array.cast(pa.list_(kind.value_type)))
    elif pa.types.is_struct(kind):
        parts = [_mixed(_hashes(array.field(i)), i) for i in range(kind.num_fields)]
        found = np.add.reduce([np.zeros(len(array), np.uint64), *parts])
    elif pa.types.is_dictionary(kind):
        return _taken(_hashes(array.dictionary), array.indices)
    elif pa.types.is_boolean(kind):
        found = _hashes(array.cast(pa.uint8()))
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        found = pd.util.hash_array(array.fill_null(0).to_numpy(zero_copy_only=False))
    else:  # texts, moments, decimals: as text, each once
        words = array.cast(pa.string()) if not pa.types.is_binary(kind) else array
        encoded = words.dictionary_encode()
        known = pd.util.hash_array(np.asarray(encoded.dictionary.to_pylist(), object), categorize=False)
        return _taken(known, encoded.indices)
    missing = pc.is_null(array).to_numpy(zero_copy_only=False)
    return np.where(missing, NULL, found)


def _taken(known: np.ndarray, indices: pa.Array) -> np.ndarray:
    places = indices.fill_null(len(known)).to_numpy(zero_copy_only=False)
    return np.asarray(np.append(known, NULL)[places])


def _of_lists(array: pa.Array) -> np.ndarray:
    """Of each list the sum over its elements, each mixed with its place."""
    offsets = array.offsets.to_numpy().astype(np.int64)
    values = array.values[offsets[0] : offsets[-1]] if len(offsets) else array.values
    offsets = offsets - offsets[0]
    lengths = np.diff(offsets)
    places = np.arange(len(values), dtype=np.int64) - np.repeat(offsets[:-1], lengths)
    with np.errstate(over="ignore"):
        sums = np.append(np.uint64(0), np.cumsum(_mixed(_hashes(values), places), dtype=np.uint64))
        return _mixed(sums[offsets[1:]] - sums[offsets[:-1]], lengths)


def _mixed(hashes: np.ndarray, salt: np.ndarray | int) -> np.ndarray:
    """The finalizer of MurmurHash3 over a hash and a number beside it."""
    with np.errstate(over="ignore"):
        x = hashes + (np.asarray(salt, np.uint64) + np.uint64(1)) * NULL
        x = (x ^ (x >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
        x = (x ^ (x >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
        return np.asarray(x ^ (x >> np.uint64(33)))
