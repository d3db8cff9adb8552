"""How alike names are by their letters, for many pairs at a time: common groups of letters, and edits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SIZES = (2, 3)
"""Letters of a group."""
EDGE = 0x110000
"""Stands at both ends of a name: no letter has this number."""
SPREAD = np.uint64(0x9E3779B97F4A7C15)
LETTERS = 64
"""Of a name that edits are counted in."""
AT_ONCE = 4_000_000
"""Sums that are kept at a time."""
COMMON, SHARE = 1000, 0.05
"""Groups that more names than these have, and more than this share of them, find none: they only compare."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


def codes_of(names: Sequence[str]) -> tuple[npt.NDArray[np.uint32], Ints]:
    """The letters of all names one after another, with an edge at both ends of each, and where each begins."""
    sizes = np.fromiter(map(len, names), np.int64, len(names)) + 2
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    joined = np.frombuffer("".join(names).encode("utf-32-le", "surrogatepass"), "<u4")
    codes = np.full(int(starts[-1]), EDGE, np.uint32)
    inner = np.ones(len(codes), bool)
    inner[starts[:-1]] = inner[starts[1:] - 1] = False
    codes[inner] = joined
    return codes, starts


def groups_of(names: Sequence[str]) -> tuple[Ints, npt.NDArray[np.uint64]]:
    """Which name has which group of letters, each once."""
    codes, starts = codes_of(names)
    owner = np.repeat(np.arange(len(names)), np.diff(starts))
    rows, marks = [], []
    for size in SIZES:
        count = len(codes) - size + 1
        if count <= 0:
            continue
        whole = owner[:count] == owner[size - 1 :]
        mark = np.full(count, size, np.uint64)
        for step in range(size):
            mark = (mark ^ codes[step : step + count].astype(np.uint64)) * SPREAD
            mark ^= mark >> np.uint64(29)
        rows.append(owner[:count][whole])
        marks.append(mark[whole])
    if not rows:
        return np.empty(0, np.int64), np.empty(0, np.uint64)
    row, mark = np.concatenate(rows), np.concatenate(marks)
    order = np.lexsort((mark, row))
    row, mark = row[order], mark[order]
    first = np.ones(len(row), bool)
    first[1:] = (row[1:] != row[:-1]) | (mark[1:] != mark[:-1])
    return row[first], mark[first]


class Letters:
    """Finds names by groups of letters; rare groups count more.

    Args:
        names: Folded.
    """

    def __init__(self, names: Sequence[str]) -> None:
        row, mark = groups_of(names)
        self._size = len(names)
        self._marks, inverse, counts = np.unique(mark, return_inverse=True, return_counts=True)
        self._weights = np.log1p(len(names) / np.maximum(counts, 1)).astype(np.float32)
        self._unseen = float(np.log1p(len(names)))
        order = np.argsort(inverse, kind="stable")
        self._rows = row[order]
        self._starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self._lengths = np.sqrt(np.bincount(row, self._weights[inverse] ** 2, len(names))).astype(np.float32)
        self._finds = counts <= max(COMMON, SHARE * len(names))

    def nearest(self, names: Sequence[str], k: int) -> tuple[Ints, Ints]:
        """Pairs of the number of a name and one of those that are nearest to it; k of each at most.

        Args:
            names: Folded.
            k: How many of each.
        """
        step = max(1, AT_ONCE // max(self._size, 1))
        found = [self._some(names[start : start + step], k, start) for start in range(0, len(names), step)]
        if not found:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        return np.concatenate([one for one, _ in found]), np.concatenate([other for _, other in found])

    def _some(self, names: Sequence[str], k: int, first: int) -> tuple[Ints, Ints]:
        sums = self._sums(names, self._finds)
        k = min(k, self._size)
        best = np.argpartition(-sums, k - 1, axis=1)[:, :k] if k < self._size else np.tile(np.arange(k), (len(sums), 1))
        asked, near = np.repeat(np.arange(len(names)), k), best.ravel()
        some = sums[asked, near] > 0.0
        return asked[some] + first, near[some]

    def _sums(self, names: Sequence[str], used: npt.NDArray[np.bool_]) -> Floats:
        """(n, N), the cosine of groups, but for what is not used; those of the names asked for are of length 1."""
        row, mark = groups_of(names)
        place = np.minimum(np.searchsorted(self._marks, mark), max(len(self._marks) - 1, 0))
        known = (self._marks[place] == mark) if len(self._marks) else np.zeros(len(mark), bool)
        weight = np.where(known, self._weights[place] if len(self._marks) else 0.0, self._unseen)
        length = np.sqrt(np.bincount(row, weight**2, len(names)))
        taken = known.copy()
        taken[known] = used[place[known]]
        row, place, weight = row[taken], place[taken], weight[taken]
        sizes = self._starts[place + 1] - self._starts[place]
        total = int(sizes.sum())
        at = np.arange(total) - np.repeat(np.cumsum(sizes) - sizes, sizes) + np.repeat(self._starts[place], sizes)
        key = np.repeat(row, sizes) * self._size + self._rows[at]
        sums = np.bincount(key, np.repeat(weight**2, sizes), len(names) * self._size).astype(np.float32)
        cosines: Floats = sums.reshape(len(names), self._size)
        cosines /= np.maximum(length, 1e-9)[:, None]
        cosines /= np.maximum(self._lengths, 1e-9)[None]
        return cosines


def dice(left: Sequence[str], right: Sequence[str]) -> Floats:
    """(n,) from 0 to 1: the share of groups of letters that the two names of each pair have in common."""
    both, size = groups_of([*left, *right]), len(left)
    row, mark = both
    counts = np.bincount(row, minlength=2 * size).astype(np.float32)
    pair = row % max(size, 1)
    order = np.lexsort((mark, pair))
    pair, mark = pair[order], mark[order]
    same = (pair[1:] == pair[:-1]) & (mark[1:] == mark[:-1])
    common = np.bincount(pair[1:][same], minlength=size)
    share: Floats = (2.0 * common / np.maximum(counts[:size] + counts[size:], 1.0)).astype(np.float32)
    return share


def alike(left: Sequence[str], right: Sequence[str]) -> Floats:
    """(n,) from 0 to 1: one minus the edits of each pair by the length of its longer name.

    An edit puts a letter in, takes one out, makes another of one, or swaps two neighbours.

    Source:
        Damerau, "A technique for computer detection and correction of spelling errors", CACM 1964; of the kind that edits no
        part of a name twice.
    """
    if not len(left):
        return np.empty(0, np.float32)
    a, long_a = _padded(left)
    b, long_b = _padded(right)
    width = b.shape[1]
    ramp = np.arange(width + 1, dtype=np.int32)
    older = np.zeros((len(a), width + 1), np.int32)
    old = np.tile(ramp, (len(a), 1))
    result = old[np.arange(len(a)), long_b].copy()  # of names without letters
    for i in range(1, a.shape[1] + 1):
        differs = (a[:, i - 1, None] != b).astype(np.int32)
        new = np.empty_like(old)
        new[:, 0] = i
        new[:, 1:] = np.minimum(old[:, 1:] + 1, old[:, :-1] + differs)
        if i > 1:
            swapped = (a[:, i - 1, None] == b[:, :-1]) & (a[:, i - 2, None] == b[:, 1:])
            new[:, 2:] = np.where(swapped, np.minimum(new[:, 2:], older[:, :-2] + 1), new[:, 2:])
        # What is put in counts along the row: the least of what stands before, a step each.
        new = np.minimum.accumulate(new - ramp, axis=1) + ramp
        ended = long_a == i
        result[ended] = new[ended, long_b[ended]]
        older, old = old, new
    longest = np.maximum(np.maximum(long_a, long_b), 1)
    return (1.0 - result / longest).astype(np.float32)


def _padded(names: Sequence[str]) -> tuple[npt.NDArray[np.uint32], Ints]:
    """(n, w) letters, with the edge behind the last, and how many each has."""
    codes, starts = codes_of([name[:LETTERS] for name in names])
    sizes = np.diff(starts) - 2
    width = max(int(sizes.max()), 1) if len(sizes) else 1
    out = np.full((len(names), width), EDGE, np.uint32)
    column = np.arange(width)
    inside = column[None] < sizes[:, None]
    out[inside] = codes[(starts[:-1, None] + 1 + column[None])[inside]]
    return out, sizes
