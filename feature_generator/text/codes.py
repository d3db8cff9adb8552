"""Texts as one run of code points with offsets, which numpy can work on, and back."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Offsets: TypeAlias = npt.NDArray[np.int64]
Codes: TypeAlias = npt.NDArray[np.uint32]
Mask: TypeAlias = npt.NDArray[np.bool_]


def split(texts: pa.LargeStringArray) -> tuple[Offsets, Codes]:
    """Where each text starts and ends, and the code points of all.

    Args:
        texts: Valid UTF-8, without nulls.

    Returns:
        n + 1 offsets that count from 0, and the code points.
    """
    _, ends, data = texts.buffers()
    if ends is None or data is None or len(texts) == 0:
        return np.zeros(len(texts) + 1, np.int64), np.zeros(0, np.uint32)
    offsets = np.frombuffer(ends, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    content = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]]
    offsets = offsets - offsets[0]
    if len(content) == 0 or content.max() < 0x80:
        return offsets, content.astype(np.uint32)
    starts = total((content & 0xC0) != 0x80)  # every byte of a character but its first is 10xxxxxx
    return starts[offsets], from_text(content.tobytes().decode())


def join(offsets: Offsets, codes: Codes) -> pa.LargeStringArray:
    """The texts that `split` takes apart."""
    if len(codes) == 0 or codes.max() < 0x80:
        ends, data = offsets, codes.astype(np.uint8).tobytes()
    else:
        sizes = 1 + (codes > 0x7F).astype(np.int64) + (codes > 0x7FF) + (codes > 0xFFFF)
        ends, data = total(sizes)[offsets], to_text(codes).encode()
    bounds = np.ascontiguousarray(ends, np.int64)
    return pa.LargeStringArray.from_buffers(len(offsets) - 1, pa.py_buffer(bounds), pa.py_buffer(data))


def from_text(text: str) -> Codes:
    """The code points of a text."""
    return np.frombuffer(text.encode("utf-32-le"), np.dtype("<u4"))


def to_text(codes: Codes) -> str:
    """The text of code points."""
    return codes.astype("<u4", copy=False).tobytes().decode("utf-32-le")


def total(counts: npt.NDArray[np.generic]) -> Offsets:
    """Running sums with a 0 before: (n,) -> (n + 1,)."""
    sums = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=sums[1:])
    return sums


def keep(offsets: Offsets, codes: Codes, kept: Mask) -> tuple[Offsets, Codes]:
    """The texts without the code points that are not `kept`."""
    return (offsets, codes) if kept.all() else (total(kept)[offsets], codes[kept])


def first(offsets: Offsets, codes: Codes, most: int) -> tuple[Offsets, Codes]:
    """At most the first `most` code points of each text."""
    lengths = np.diff(offsets)
    if not len(lengths) or lengths.max() <= most:
        return offsets, codes
    return keep(offsets, codes, np.arange(len(codes)) - np.repeat(offsets[:-1], lengths) < most)
