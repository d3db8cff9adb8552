"""Texts as one run of UTF-8 bytes with offsets, and back."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Bytes: TypeAlias = npt.NDArray[np.uint8]
Offsets: TypeAlias = npt.NDArray[np.int64]


def split(texts: pa.LargeStringArray) -> tuple[Offsets, Bytes]:
    """Where each text starts and ends, and the bytes of all.

    Args:
        texts: Without nulls.

    Returns:
        n + 1 offsets that count from 0, and the bytes; they are the array's own and must not be changed.
    """
    _, offsets, data = texts.buffers()
    if offsets is None or len(texts) == 0:
        return np.zeros(len(texts) + 1, np.int64), np.zeros(0, np.uint8)
    bounds = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    content = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    return bounds - bounds[0], content[bounds[0] : bounds[-1]]


def join(offsets: Offsets, data: Bytes) -> pa.LargeStringArray:
    """The texts that `split` takes apart."""
    bounds = pa.py_buffer(np.ascontiguousarray(offsets, np.int64))
    return pa.LargeStringArray.from_buffers(len(offsets) - 1, bounds, pa.py_buffer(np.ascontiguousarray(data)))
