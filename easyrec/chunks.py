"""Large arrays, piece by piece: they may lie on disk."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

CHUNK_BYTES = 1 << 24


def row_chunks(array: np.ndarray) -> Iterator[slice]:
    """Slices of rows that cover an array of one dimension or more, each of some megabytes."""
    rows = len(array)
    step = max(1, CHUNK_BYTES * rows // max(1, array.nbytes))
    for start in range(0, rows, step):
        yield slice(start, start + step)
