"""Rows of tables in fewer bits, as `cpp/packed.h` reads them. Knows no torch."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

Precision: TypeAlias = Literal["fp32", "fp16", "bf16", "int8"]
STORED: dict[Precision, np.dtype] = {
    "fp32": np.dtype(np.float32),
    "fp16": np.dtype(np.float16),
    "bf16": np.dtype(np.uint16),
    "int8": np.dtype(np.uint8),
}
"""Type of the arrays; a row in `int8` begins with 8 bytes, its scale and its lowest number."""
HEAD = 8
LARGEST = 65504.0
"""Of fp16."""


def stored_width(precision: Precision, dim: int) -> int:
    """Numbers of a row of `dim` as it is stored."""
    return dim + HEAD if precision == "int8" else dim


def precision_of(array: np.ndarray) -> Precision:
    """The precision that an array of this type is stored in."""
    return next(precision for precision, dtype in STORED.items() if dtype == array.dtype)


def worthwhile(precision: Precision, dim: int) -> Precision:
    """The precision, or fp16 where a row in int8 would be longer."""
    return "fp16" if precision == "int8" and dim + HEAD >= 2 * dim else precision


def pack(rows: np.ndarray, precision: Precision) -> np.ndarray:
    """Rows (n, dim) float32 in a precision.

    Raises:
        ValueError: A number is not finite, or too large for fp16.
    """
    if precision == "fp32":
        return np.ascontiguousarray(rows, np.float32)
    if not np.isfinite(rows).all():
        raise ValueError(f"a number is not finite, which {precision} cannot hold")
    if precision == "fp16":
        if np.abs(rows).max(initial=0.0) > LARGEST:
            raise ValueError(f"a number is beyond {LARGEST:g}, which fp16 cannot hold")
        return rows.astype(np.float16)
    if precision == "bf16":
        bits = np.ascontiguousarray(rows, np.float32).view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)  # to the nearest, ties to even
    low = rows.min(axis=1, initial=np.inf) if rows.shape[1] else np.zeros(len(rows))
    low = low.astype(np.float32)
    span = rows.astype(np.float64) - low[:, None].astype(np.float64)
    scale = (span.max(axis=1, initial=0.0) / 255.0).astype(np.float32)
    codes = np.rint(span / np.where(scale > 0, scale, 1.0)[:, None].astype(np.float64))
    packed = np.empty((len(rows), rows.shape[1] + HEAD), np.uint8)
    packed[:, :4], packed[:, 4:HEAD] = scale[:, None].view(np.uint8), low[:, None].view(np.uint8)
    packed[:, HEAD:] = np.clip(codes, 0, 255).astype(np.uint8)
    return packed


def unpack(rows: np.ndarray, precision: Precision) -> np.ndarray:
    """What the rows stand for, (n, dim) float32: the specification of the kernels."""
    if precision == "bf16":
        return (rows.astype(np.uint32) << 16).view(np.float32)
    if precision == "int8":
        scale, low = (np.ascontiguousarray(rows[:, at : at + 4]).view(np.float32) for at in (0, 4))
        return rows[:, HEAD:].astype(np.float32) * scale + low
    return rows.astype(np.float32, copy=False)
