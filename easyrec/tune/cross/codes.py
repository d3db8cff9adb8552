"""`Codes`: the words of a column as small numbers, and the cross of two of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
from typing_extensions import Self

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

MOST = 1 << 22
"""Codes of a cross at most: more combinations than these share codes by a hash, as they do in a table of embeddings."""


@dataclass(frozen=True)
class Codes:
    """Codes of rows; 0 stands for no value.

    Attributes:
        values: (rows,) or (elements,) codes below `size`.
        size: One more than the largest code.
        offsets: (rows + 1,) row r has the codes `offsets[r] .. offsets[r + 1]`; None: one code per row.
    """

    values: Array
    size: int
    offsets: Array | None = None

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.values) if self.offsets is None else len(self.offsets) - 1

    @property
    def lengths(self) -> Array:
        """(rows,) codes of each row."""
        return np.ones(len(self.values), np.int64) if self.offsets is None else np.diff(self.offsets)

    @property
    def row_of(self) -> Array:
        """(elements,) the row of each code."""
        return np.repeat(np.arange(self.rows), self.lengths)

    def take(self, rows: Array) -> Self:
        """The rows at `rows`, (m,) positions."""
        if self.offsets is None:
            return type(self)(self.values[rows], self.size)
        lengths = self.lengths[rows]
        offsets = _ends(lengths)
        places = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        return type(self)(self.values[places], self.size, offsets)

    def slice(self, rows: slice) -> Self:
        """The rows of a span with both ends; nothing is copied."""
        if self.offsets is None:
            return type(self)(self.values[rows], self.size)
        offsets = self.offsets[rows.start : rows.stop + 1]
        return type(self)(self.values[offsets[0] : offsets[-1]], self.size, offsets - offsets[0])

    def sums(self, weights: Array) -> Array:
        """(rows,) sum of the weights, (size,), of each row's codes."""
        found = weights[self.values]
        if self.offsets is None:
            return found
        total = np.concatenate([np.zeros(1), np.cumsum(found)])
        summed: Array = total[self.offsets[1:]] - total[self.offsets[:-1]]
        return summed

    def counts(self, values: Array) -> Array:
        """(size,) sum over the rows that hold a code of their values, (rows,)."""
        spread = values if self.offsets is None else np.repeat(values, self.lengths)
        return np.bincount(self.values, weights=spread, minlength=self.size)

    def moments(self, first: Array, second: Array) -> tuple[Array, Array, Array]:
        """Of each weight: gradient, curvature, and a bound on the curvature where a row has several codes.

        Args:
            first: (rows,) derivative of the log likelihood by the logit.
            second: (rows,) minus its second derivative.
        """
        gradient, curvature = self.counts(first), self.counts(second)
        if self.offsets is None:
            return gradient, curvature, curvature
        # A row's codes move its logit together: (x_1 + .. + x_m)^2 <= m (x_1^2 + .. + x_m^2) keeps steps from overshooting.
        return gradient, curvature, self.counts(second * self.lengths)

    @property
    def distinct(self) -> int:
        """Codes that occur, but 0."""
        return int(np.count_nonzero(np.bincount(self.values, minlength=1)[1:]))


@dataclass(frozen=True)
class Line:
    """A number of each row whose weight is one: what a dense input is to a logistic regression.

    Attributes:
        values: (rows,) of mean 0 and deviation 1 or so.
    """

    values: Array
    size: ClassVar[int] = 2  # weights, of which the first is that of no value, as in `Codes`

    def take(self, rows: Array) -> Self:
        """The rows at `rows`, (m,) positions."""
        return type(self)(self.values[rows])

    def slice(self, rows: slice) -> Self:
        """The rows of a span."""
        return type(self)(self.values[rows])

    def sums(self, weights: Array) -> Array:
        """(rows,) what the number adds to the logit."""
        summed: Array = weights[1] * self.values
        return summed

    def moments(self, first: Array, second: Array) -> tuple[Array, Array, Array]:
        """As those of `Codes`."""
        gradient = np.array([0.0, float(self.values @ first)])
        curvature = np.array([0.0, float((self.values * self.values) @ second)])
        return gradient, curvature, curvature


Term: TypeAlias = Codes | Line
"""What adds to a logit."""


def crossed(one: Codes, other: Codes) -> Codes:
    """Every pair of a row's codes; a row in which one side is missing has no code."""
    left, right, offsets = pairs(one, other)
    known = (left > 0) & (right > 0)
    combinations = (one.size - 1) * (other.size - 1)
    keys = (left.astype(np.int64) - 1) * (other.size - 1) + right
    if combinations >= MOST:
        keys = (_mixed(keys) % np.uint64(MOST - 1)).astype(np.int64) + 1
    size = min(combinations + 1, MOST)
    return Codes(np.where(known, keys, 0).astype(np.int32), size, offsets)


def pairs(one: Codes, other: Codes) -> tuple[Array, Array, Array | None]:
    """The two codes of every pair, and where each row's pairs end."""
    if one.offsets is None and other.offsets is None:
        return one.values, other.values, None
    if one.offsets is None:
        assert other.offsets is not None
        return np.repeat(one.values, other.lengths), other.values, other.offsets
    if other.offsets is None:
        return one.values, np.repeat(other.values, one.lengths), one.offsets
    times = np.repeat(other.lengths, one.lengths)  # of each code of `one`
    ends = _ends(times)
    first = np.repeat(np.repeat(other.offsets[:-1], one.lengths), times)
    places = first + np.arange(ends[-1]) - np.repeat(ends[:-1], times)
    return np.repeat(one.values, times), other.values[places], _ends(one.lengths * other.lengths)


def _ends(lengths: Array) -> Array:
    ends = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=ends[1:])
    return ends


def _mixed(keys: Array) -> Array:
    """The keys, (n,), as 64 bits that pass for random (MurmurHash3's finalizer)."""
    bits = keys.astype(np.uint64)
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        bits ^= bits >> np.uint64(33)
        bits *= np.uint64(factor)
    mixed: Array = bits ^ (bits >> np.uint64(33))
    return mixed


def compact(values: Array, offsets: Array | None = None) -> Codes:
    """Codes of numbers of any size: 0 stays 0, the others count from 1."""
    found, codes = np.unique(values, return_inverse=True)
    shift = 0 if len(found) and found[0] == 0 else 1
    return Codes((codes.reshape(-1) + shift).astype(np.int32), len(found) + shift, offsets)
