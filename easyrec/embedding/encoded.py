"""A table as it is served compressed: fewer rows, narrower rows, and codes in their place. Knows no torch.

What an id stands for is found in three steps, each of which may be missing (`cpp/compressed.h` does the same):

1. its row: where there is a map of ids, the place of the id among those that kept a row, and the last row for all others
2. the numbers of the row: as `packing` has them, or for codes the entries of the code books, one after another
3. their product with a projection

The map takes 16 bytes for 64 ids: their bits, and how many ids before them have a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from easyrec.embedding.packing import STORED, Precision, pack, precision_of, stored_width, unpack

BOOK = 256
"""Entries of a code book at most: a code is a byte."""


@dataclass(frozen=True)
class Encoded:
    """A compressed table.

    Attributes:
        ids: Number of ids.
        rows: (rows, width) as `packing` has them, or (rows, parts) uint8, codes.
        kept: (ceil(ids / 64), 2) uint64, the map of ids; None: an id is its row.
        books: (parts, entries, width / parts) float16; None: the rows are no codes.
        project: (width, dim) float32; None: the numbers are the row.
    """

    ids: int
    rows: np.ndarray
    kept: np.ndarray | None = None
    books: np.ndarray | None = None
    project: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.books is not None:
            if self.rows.dtype != np.uint8 or self.books.dtype != np.float16 or self.books.ndim != 3:
                raise ValueError("codes are uint8, and their books float16 in three dimensions")
            if self.books.shape[0] != self.rows.shape[1] or not 1 <= self.books.shape[1] <= BOOK:
                raise ValueError(f"books {self.books.shape} are not those of codes {self.rows.shape}")
        for part, kind in ((self.kept, np.uint64), (self.project, np.float32)):
            if part is not None and (part.dtype != kind or part.ndim != 2):
                raise ValueError("a map of ids is uint64, a projection float32, both in two dimensions")
        if self.project is not None and self.project.shape[0] != self.width:
            raise ValueError(f"a projection {self.project.shape} is not for rows of {self.width} numbers")
        needed = self.ids if self.kept is None else -(-self.ids // 64)
        if needed != (self.rows if self.kept is None else self.kept).shape[0]:
            raise ValueError(f"a table of {self.ids} ids has rows or a map for {needed}")

    @property
    def width(self) -> int:
        """Numbers of a row."""
        if self.books is not None:
            return int(self.books.shape[0] * self.books.shape[2])
        return int(unpack(self.rows[:0], precision_of(self.rows)).shape[1])

    @property
    def dim(self) -> int:
        """Numbers that an id stands for."""
        return self.width if self.project is None else int(self.project.shape[1])

    @property
    def precision(self) -> Precision:
        """Of rows that are no codes."""
        return "fp32" if self.books is not None else precision_of(self.rows)

    @property
    def parts(self) -> dict[str, np.ndarray]:
        """The arrays beside the rows, by name."""
        parts = {"kept": self.kept, "books": self.books, "project": self.project}
        return {name: part for name, part in parts.items() if part is not None}

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return int(self.rows.nbytes + sum(part.nbytes for part in self.parts.values()))

    def native(self) -> tuple[Any, ...]:
        """The parts as the kernels take them: books have room for every code that a byte can be."""
        books = None
        if self.books is not None:
            shape = (self.books.shape[0], BOOK, self.books.shape[2])
            books = np.zeros(shape, np.float32)
            books[:, : self.books.shape[1]] = self.books
        return self.rows, self.ids, self.kept, books, self.project

    def decode(self, ids: np.ndarray) -> np.ndarray:
        """(n, dim) float32 of ids (n,) int64: the specification of the kernel."""
        rows = self.rows[ids if self.kept is None else row_of(self.kept, ids, len(self.rows) - 1)]
        numbers = unpack(rows, self.precision) if self.books is None else _entries(self.books, rows)
        if self.project is None:
            return np.ascontiguousarray(numbers, np.float32)
        out = np.zeros((len(ids), self.dim), np.float32)
        for column, direction in zip(numbers.T, self.project, strict=True):  # in the order of the kernel
            out += column[:, None] * direction
        return out

    def floats(self) -> np.ndarray:
        """(ids, dim) float32."""
        return self.decode(np.arange(self.ids))


def _entries(books: np.ndarray, codes: np.ndarray) -> np.ndarray:
    found: np.ndarray = books[
        np.arange(books.shape[0]), np.minimum(codes, books.shape[1] - 1)
    ]  # (n, parts, width / parts)
    return found.reshape(len(codes), -1).astype(np.float32)


def map_of(kept: np.ndarray) -> np.ndarray:
    """The map of ids, of (ids,) booleans that say which have a row."""
    padded = np.zeros(-(-len(kept) // 64) * 64, bool)
    padded[: len(kept)] = kept
    words = np.packbits(padded, bitorder="little").view("<u8").astype(np.uint64)
    counts = padded.reshape(-1, 64).sum(axis=1, dtype=np.uint64)
    return np.stack([words, np.cumsum(counts, dtype=np.uint64) - counts], axis=1)


def row_of(kept: np.ndarray, ids: np.ndarray, shared: int) -> np.ndarray:
    """(n,) int64 rows of ids (n,) int64 by a map; `shared` is the row of those without."""
    bits, before = kept[ids >> 6, 0], kept[ids >> 6, 1].astype(np.int64)
    place = (ids & 63).astype(np.uint64)
    bit = np.uint64(1) << place
    lower = (bits & (bit - np.uint64(1))).astype("<u8").reshape(-1, 1).view(np.uint8)
    rows = before + np.unpackbits(lower, axis=1).sum(axis=1, dtype=np.int64)
    return np.where(bits & bit, np.minimum(rows, shared), shared)


@dataclass(frozen=True)
class Draft:
    """A table on its way to be encoded.

    Attributes:
        ids: Number of ids.
        numbers: (rows, width) float32; where there is a map, the last row is that of the ids without one.
        counts: (rows,) float64, how often each row is asked for.
        kept: The map of ids.
        codes: (rows, parts) uint8 in place of `numbers`.
        books: Of the codes.
        project: (width, dim) float32.
    """

    ids: int
    numbers: np.ndarray
    counts: np.ndarray
    kept: np.ndarray | None = None
    codes: np.ndarray | None = None
    books: np.ndarray | None = None
    project: np.ndarray | None = None

    @property
    def plain(self) -> bool:
        """Whether it is a table like any other still."""
        return self.kept is None and self.codes is None and self.project is None

    def encoded(self, precision: Precision) -> Encoded:
        """The table, rows that are no codes in a precision.

        Raises:
            ValueError: The precision cannot hold a number.
        """
        rows = pack(self.numbers, precision) if self.codes is None else self.codes
        return Encoded(self.ids, rows, self.kept, self.books, self.project)

    def size(self, precision: Precision) -> int:
        """Bytes that `encoded` would take."""
        if self.codes is None:
            rows = len(self.numbers) * stored_width(precision, self.numbers.shape[1]) * STORED[precision].itemsize
        else:
            rows = self.codes.nbytes
        return int(rows + sum(p.nbytes for p in (self.kept, self.books, self.project) if p is not None))


def floats_of(table: np.ndarray | Encoded) -> np.ndarray:
    """(ids, dim) float32, what a table stands for, in memory."""
    return table.floats() if isinstance(table, Encoded) else unpack(table, precision_of(table))
