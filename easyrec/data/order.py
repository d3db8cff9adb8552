"""The order in which the rows of a block are dealt out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa


@dataclass(frozen=True)
class Order:
    """An order of n rows, some of which stay together.

    Attributes:
        rows: (n,) int64, which row comes where; None: as they stand.
        borders: (R+1,) int64, ascending from 0 to n: places between which rows belong together; None: none do.
    """

    rows: np.ndarray | None = None
    borders: np.ndarray | None = None

    @staticmethod
    def drawn(random: np.random.Generator, number: int, column: pa.ChunkedArray | None) -> Order:
        """A permutation.

        Args:
            random: Draws it.
            number: n.
            column: n values; adjacent rows of equal value stay together, in their order. None: none do.
        """
        if column is None:
            return Order(random.permutation(number))
        starts = _starts(column)
        sizes = np.diff(np.append(starts, number))
        chosen = random.permutation(len(starts))
        borders = np.concatenate(([0], np.cumsum(sizes[chosen])))
        offsets = np.repeat(starts[chosen] - borders[:-1], sizes[chosen])
        return Order(offsets + np.arange(number), borders)

    def stop(self, taken: int, most: int) -> int:
        """Where the piece ends that begins at `taken` and may go on to `most`.

        At the last border, so that what belongs together is not parted; at `taken` where none lies between.
        """
        if self.borders is None:
            return most
        return max(taken, int(self.borders[np.searchsorted(self.borders, most, "right") - 1]))


def _starts(column: pa.ChunkedArray) -> np.ndarray:
    """Rows whose value differs from that of the row before, the first included."""
    array = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if isinstance(array, pa.DictionaryArray):
        array = array.dictionary_decode()
    codes = array.dictionary_encode("encode").indices.to_numpy(zero_copy_only=False)
    return np.flatnonzero(np.concatenate(([True], codes[1:] != codes[:-1])))
