"""`Shares`: which share of a name's words is found with others, rare words counted more."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
AT_ONCE = 4_000_000
"""Sums that are kept at a time."""


class Tokens:
    """Words of names by number; those that are not known share the last one.

    Args:
        words: Finds the words of a text.
        known: Their numbers, without a gap.
    """

    def __init__(self, words: Callable[[str], list[str]], known: dict[str, int] | None = None) -> None:
        self._words, self._known = words, {} if known is None else known

    def __len__(self) -> int:
        return len(self._known)

    def of(self, names: Sequence[str], *, learn: bool = False) -> tuple[Ints, Ints]:
        """Which name has which word, each once.

        Args:
            names: Folded.
            learn: Whether words that are not known become so.
        """
        rows, tokens = [], []
        for row, name in enumerate(names):
            for word in dict.fromkeys(self._words(name)):
                rows.append(row)
                tokens.append(self._known.setdefault(word, len(self._known)) if learn else self._known.get(word, -1))
        token = np.array(tokens, np.int64)
        token[token < 0] = len(self._known)
        return np.array(rows, np.int64), token


class Shares:
    """Words and those that they belong to.

    Args:
        row: (n,) who.
        token: (n,) has which word, each once.
        value: (n,) how much it counts there, to 1.
        size: How many there are to have some.
        count: How many words are known.
    """

    def __init__(self, row: Ints, token: Ints, value: Floats, size: int, count: int) -> None:
        self._size, self._width = size, count + 1
        held = np.bincount(token, value, self._width)
        self.weights = np.log1p((size - held + 0.5) / (held + 0.5)).astype(np.float32)  # that of BM25
        order = np.argsort(row * self._width + token, kind="stable")
        self._keys, self._values = (row * self._width + token)[order], value[order]
        order = np.argsort(token, kind="stable")
        self._rows, self._of = row[order], value[order]
        self._starts = np.searchsorted(token[order], np.arange(self._width + 1))
        self.whole = np.bincount(row, self.weights[token], size).astype(np.float32)

    def nearest(self, row: Ints, token: Ints, names: int, k: int) -> tuple[Ints, Ints]:
        """Pairs of names and those with most of their words, k of each at most.

        Args:
            row: (n,) the name.
            token: (n,) its word.
            names: How many names.
            k: How many of each.
        """
        k, step = min(k, self._size), max(1, AT_ONCE // max(self._size, 1))
        starts = np.searchsorted(row, np.arange(names + 1))
        asked, found = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for first in range(0, names, step):
            last = min(first + step, names)
            own = slice(starts[first], starts[last])
            at, word = self._expanded(token[own])
            key = (row[own][word] - first) * self._size + self._rows[at]
            sums = np.bincount(key, self.weights[token[own]][word] * self._of[at], (last - first) * self._size)
            sums = sums.reshape(last - first, self._size)
            best = np.argpartition(-sums, k - 1, axis=1)[:, :k]
            who = np.repeat(np.arange(last - first), k)
            some = sums[who, best.ravel()] > 0.0
            asked.append(who[some] + first)
            found.append(best.ravel()[some])
        return np.concatenate(asked), np.concatenate(found)

    def _expanded(self, token: Ints) -> tuple[Ints, Ints]:
        """All places where words stand, and for which of the words."""
        sizes = self._starts[token + 1] - self._starts[token]
        total = int(sizes.sum())
        at = np.arange(total) - np.repeat(np.cumsum(sizes) - sizes, sizes) + np.repeat(self._starts[token], sizes)
        return at, np.repeat(np.arange(len(token)), sizes)

    def shared(self, row: Ints, token: Ints, names: int, asked: Ints, found: Ints) -> tuple[Floats, Floats]:
        """(n,) which share of a name's words the other one of a pair has, and the other way round.

        Args:
            row: (m,) the name.
            token: (m,) its word.
            names: How many names.
            asked: (n,) the names of the pairs.
            found: (n,) the other ones.
        """
        starts = np.searchsorted(row, np.arange(names + 1))
        weight = np.bincount(row, self.weights[token], names) if len(row) else np.zeros(names)
        sizes = (starts[1:] - starts[:-1])[asked]
        total = int(sizes.sum())
        at = np.arange(total) - np.repeat(np.cumsum(sizes) - sizes, sizes) + np.repeat(starts[asked], sizes)
        pair = np.repeat(np.arange(len(asked)), sizes)
        keys = found[pair] * self._width + token[at]
        place = np.minimum(np.searchsorted(self._keys, keys), max(len(self._keys) - 1, 0))
        has = self._keys[place] == keys if len(self._keys) else np.zeros(len(keys), bool)
        common = np.bincount(pair[has], (self.weights[token[at]] * self._values[place])[has], len(asked))
        of_name = common / np.maximum(weight[asked], 1e-9)
        of_found = common / np.maximum(self.whole[found], 1e-9)
        return of_name.astype(np.float32), of_found.astype(np.float32)
