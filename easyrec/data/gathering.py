"""`Gathering`: many parts of rows copied side by side into memory that is used again for the next block."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from easyrec.data.rows import Rows
from feature_generator import Column, Ragged, Table


class Gathering:
    """Joins parts as `Rows.concat` does, but into the same memory every time.

    Fresh memory costs more than the copy into it: the system clears it page by page. So the rows that `concat`
    returned are overwritten by its next call.
    """

    def __init__(self) -> None:
        self._memory: dict[Hashable, np.ndarray] = {}

    def concat(self, parts: Sequence[Rows]) -> Rows:
        """The rows of all parts, one part after another; valid until the next call."""
        if len(parts) == 1:
            return parts[0]
        first = parts[0]
        ragged: dict[str, Ragged] = {}
        for name, column in first.table.items():
            if not isinstance(column, Column):
                ragged[name] = self._ragged(name, [part.table.ragged(name) for part in parts])
        weights = [part.sample_weight for part in parts if part.sample_weight is not None]
        reserved = [part.reserved for part in parts if part.reserved is not None]
        return Rows(
            Table(
                sum(len(part) for part in parts),
                ragged,
                self._join("dense", [part.table.dense for part in parts]),
                first.table.dense_slices,
                names=list(first.table),
            ),
            {label: self._join(("label", label), [part.labels[label] for part in parts]) for label in first.labels},
            self._join("weight", weights) if weights else None,
            _joined(reserved) if reserved else None,
        )

    def _ragged(self, name: str, parts: list[Ragged]) -> Ragged:
        same = all(
            (p.weights is None, p.offsets is None, p.key_offsets is None)
            == (parts[0].weights is None, parts[0].offsets is None, parts[0].key_offsets is None)
            for p in parts
        )
        if not same:  # such as a chunk in which every row happens to have one value
            return Ragged.concat(parts)
        weights = [p.weights for p in parts if p.weights is not None]
        offsets = [p.offsets for p in parts if p.offsets is not None]
        key_offsets = [p.key_offsets for p in parts if p.key_offsets is not None]
        return Ragged(
            self._join((name, "values"), [p.values for p in parts]),
            self._ends((name, "offsets"), offsets) if offsets else None,
            self._join((name, "weights"), weights) if weights else None,
            self._ends((name, "key_offsets"), key_offsets) if key_offsets else None,
        )

    def _join(self, key: Hashable, arrays: Sequence[np.ndarray]) -> np.ndarray:
        out = self._room(key, sum(len(array) for array in arrays), arrays[0])
        return np.concatenate(arrays, out=out)

    def _ends(self, key: Hashable, offsets: Sequence[np.ndarray]) -> np.ndarray:
        """Offsets of all parts behind one another: each part's count on from the last one's end."""
        out = self._room(key, sum(len(array) - 1 for array in offsets) + 1, offsets[0])
        out[0] = start = 0
        for array in offsets:
            np.add(array[1:], out[start], out=out[start + 1 : start + len(array)])
            start += len(array) - 1
        return out

    def _room(self, key: Hashable, length: int, like: np.ndarray) -> np.ndarray:
        """(length, ...) of the kept memory, which grows where it is too small."""
        kept: Any = self._memory.get(key)
        if kept is None or len(kept) < length:
            self._memory.pop(key, None)  # before its successor is made, not after
            kept = self._memory[key] = np.empty((length + length // 8, *like.shape[1:]), like.dtype)
        room: np.ndarray = kept[:length]
        return room


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    """The tables as one of whole columns: taking rows from a column in pieces costs seven times as much."""
    return pa.concat_tables(tables, promote_options="permissive").unify_dictionaries().combine_chunks()
