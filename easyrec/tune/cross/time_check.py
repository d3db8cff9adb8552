"""The time check: columns whose values could only be known after the label of their row.

Rows of a key (an item, a user) are followed through time. Of a column that is known before its row's event, four things
are true; a column is rejected where one of them is clearly not:

- `declared`: it is available by the time of the event, where the config says when it is.
- `label`: it does not all but fix the label, nor does its change since the row before, unless it is a lasting property of
  the key, whose value in an earlier row says as much.
- `future`: what varies in it within a key goes no more with the labels to come than with those that were.
- `sums`: beside it, other labels of the key say no less than nothing: where it was counted from labels, the row's own
  among them, the more of it are others' the less is left for the row's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from easyrec.tune.cross.codes import Array, Codes
from easyrec.tune.cross.column import Column
from easyrec.tune.cross.probe import TINY, Rows, compared, fitted
from easyrec.tune.cross.rows import Searched

MOST_ROWS = 500_000
"""Rows that are checked: the newest ones."""
NEIGHBOURS = 20
"""Rows of a key before a row, and after it, whose labels are looked at."""
LEAST = 3
"""Of them that there must be."""
DENSE = 4.0
"""Rows of an average key at least, or it tells nothing."""
CUTS = 32
"""Buckets of numbers."""
FEW = 64
"""Different numbers up to which each is a bucket of its own."""
CLEAR = 6.0
"""Standard errors by which a column has to look ahead."""
AGAINST, TURNED = 4.5, 8.0
"""Standard errors by which other labels have to speak against a row's, and how far the column has to have turned them."""
FIXED = 0.3
"""Share of the label's entropy that no honest column explains alone."""
PURE = 0.95
"""Rate of labels in a bucket that all but fixes them,"""
HELD = 0.02
"""where such buckets hold this share of all positive rows,"""
SEVERAL = 20
"""and one of them so many rows."""
LASTING = 0.5
"""Share of what a column says that a lasting property says by its value in an earlier row."""


@dataclass(frozen=True)
class Verdict:
    """What the check says of a column.

    Attributes:
        reason: Why it is rejected; empty where it is not.
        test: Which of the four tests said so.
    """

    reason: str = ""
    test: str = ""

    @property
    def passed(self) -> bool:
        """Whether the column may be used."""
        return not self.reason


@dataclass(frozen=True)
class Followed:
    """Rows by key and time.

    Attributes:
        name: What the key is called.
        order: (rows,) the rows by key, then by time.
        key: (rows,) in this order.
        start, end: (rows,) where the rows of the key begin and end.
        before, after: (rows,) where those of the row's own moment begin and end.
    """

    name: str
    order: Array
    key: Array
    start: Array
    end: Array
    before: Array
    after: Array

    @staticmethod
    def of(name: str, key: Array, time: Array) -> Followed:
        """The rows of a key, which are sorted by time already."""
        order = np.argsort(key, kind="stable")
        keys, times = key[order], time[order]
        new = np.concatenate([[True], keys[1:] != keys[:-1]])
        moment = new | np.concatenate([[True], times[1:] != times[:-1]])
        start, end = _bounds(new)
        return Followed(name, order, keys, start, end, *_bounds(moment))

    @property
    def known(self) -> Array:
        """(rows,) whether there are enough neighbours on both sides."""
        past = self.before - np.maximum(self.start, self.before - NEIGHBOURS)
        coming = np.minimum(self.end, self.after + NEIGHBOURS) - self.after
        known: Array = (past >= LEAST) & (coming >= LEAST) & (self.key > 0)
        return known

    def around(self, values: Array) -> tuple[Array, Array]:
        """(rows,) mean of the values, (rows,), in the order of the key, over the rows before, and over those after."""
        total = np.concatenate([np.zeros(1), np.cumsum(values)])
        low = np.maximum(self.start, self.before - NEIGHBOURS)
        high = np.minimum(self.end, self.after + NEIGHBOURS)
        past = (total[self.before] - total[low]) / np.maximum(self.before - low, 1)
        coming = (total[high] - total[self.after]) / np.maximum(high - self.after, 1)
        return past, coming

    def earlier(self) -> tuple[Array, Array]:
        """(rows,) the last row of the key before the row's moment, and whether there is one."""
        return np.maximum(self.before - 1, 0), (self.before > self.start) & (self.key > 0)

    def z(self, values: Array, rows: Array) -> float:
        """Sum of values over some rows in standard errors, rows of one key taken together."""
        sums = np.bincount(self.key[rows], values[rows])
        return float(sums.sum() / math.sqrt(float((sums**2).sum()) + TINY))


class TimeCheck:
    """Checks columns.

    Args:
        searched: The rows.
        keys: Names of columns of words whose rows are followed; None: of each side the one with most words.
        trust: Columns that pass unseen.
        declared: Column -> seconds after the event at which it is known.

    Attributes:
        followed: The keys. Where there are none, or no time, only what the config declares is checked.
    """

    def __init__(
        self, searched: Searched, keys: list[str] | None, trust: list[str], declared: dict[str, float]
    ) -> None:
        self.searched, self.trust, self.declared = searched, set(trust), declared
        stop = searched.judge.stop
        self.span = slice(max(stop - MOST_ROWS, 0), stop)
        self.labels = searched.labels[self.span]
        self.followed = [] if searched.time is None else list(self._follow(keys))
        rate = float(np.clip(self.labels.mean(), 1e-6, 1 - 1e-6))
        self.entropy = -(rate * math.log(rate) + (1 - rate) * math.log(1 - rate))
        self.flat = Rows(self.labels, np.full(len(self.labels), math.log(rate / (1 - rate))))
        self.residual = self.labels - self._drift(rate)
        self.half = np.random.default_rng(0).random(len(self.labels)) < 0.5

    def _follow(self, keys: list[str] | None) -> Iterator[Followed]:
        assert self.searched.time is not None
        for name in self._keys() if keys is None else keys:
            codes = self.searched.words[name]
            if codes.offsets is None:
                yield Followed.of(name, codes.values[self.span], self.searched.time[self.span])

    def _keys(self) -> list[str]:
        """Of each side the column with most words whose rows come often enough."""
        best: dict[str, tuple[int, str]] = {}
        for name, codes in self.searched.words.items():
            side = self.searched.columns[name].side
            if codes.offsets is not None or side == "context":
                continue
            distinct = codes.slice(self.span).distinct
            if distinct > 1 and codes.slice(self.span).rows / distinct >= DENSE:
                best[side] = max(best.get(side, (0, "")), (distinct, name))
        return [name for _, name in best.values()]

    def _drift(self, rate: float) -> Array:
        """(rows,) the rate of labels around the row's time: what goes up and down for all is nobody's future."""
        blocks = np.minimum(np.arange(len(self.labels)) * 50 // max(len(self.labels), 1), 49)
        counts = np.bincount(blocks, minlength=50)
        rates = (np.bincount(blocks, self.labels, minlength=50) + rate * 10) / (counts + 10)
        return rates[blocks]

    def verdict(self, column: Column) -> Verdict:
        """Whether a column may be used."""
        if column.raw in self.trust or column.name in self.trust:
            return Verdict()
        late = self._declared(column)
        if late or not self.followed:
            return Verdict(late, "declared" if late else "")
        codes, numbers = self._codes(column)
        effect = self._effect(codes)
        explained = compared(self.flat, effect).value / self.entropy
        for followed in self.followed:
            for test, reason in (
                ("label", self._fixes(followed, codes, effect, explained, numbers)),
                ("future", self._foresees(followed, effect)),
                ("sums", self._sums(followed, effect)),
            ):
                if reason:
                    return Verdict(reason, test)
        return Verdict()

    def _declared(self, column: Column) -> str:
        """What the config says of when the column is known."""
        after = self.declared.get(column.raw, 0.0)
        if after > 0:
            return f"declared: known {after:g} s after the event"
        known = self.searched.available.get(column.raw)
        if known is None or self.searched.time is None:
            return ""
        train = self.searched.train
        late = float((known[train] > self.searched.time[train]).mean())
        return f"declared: known after the event in {late:.1%} of the rows" if late > 0 else ""

    def _codes(self, column: Column) -> tuple[Codes, Array | None]:
        """The column as codes, and as numbers where it holds those."""
        if column.kind == "words":
            codes = self.searched.words[column.name].slice(self.span)
            return codes, _as_numbers(codes, self.searched, column)
        numbers = self.searched.numbers[column.name][self.span]
        return bucketed(numbers), numbers

    def _effect(self, codes: Codes) -> Array:
        """(rows,) what the column says of the label, in logits, learned from the other half of the rows."""
        effect = np.zeros(len(self.labels))
        for chosen in (self.half, ~self.half):
            rows = np.flatnonzero(chosen)
            others = np.flatnonzero(~chosen)
            part = Rows(self.labels[rows], self.flat.logit[rows])
            effect[others] = codes.take(others).sums(fitted(codes.take(rows), part, 8))
        return effect

    # ----------------------------------------------------------------------------------------- the tests

    def _fixes(self, followed: Followed, codes: Codes, effect: Array, explained: float, numbers: Array | None) -> str:
        """Whether the column, or its change since the key's row before, all but fixes the label."""
        purest = self._purest(codes)
        if explained > FIXED or purest:
            places, there = followed.earlier()
            lagged = np.zeros(len(effect))
            lagged[followed.order] = np.where(there, effect[followed.order][places], 0.0)
            kept = compared(self.flat, lagged).value / self.entropy
            if kept < LASTING * explained:
                what = purest or f"explains {explained:.0%} of the label's entropy"
                return f"{what}, and its value in the row of {followed.name} before {max(kept, 0.0):.0%}: it follows the label"
        if numbers is None:
            return ""
        change = self._change(followed, numbers)
        by_change = compared(self.flat, self._effect(change)).value / self.entropy
        if by_change > max(FIXED / 2, 2 * explained):
            return (
                f"its change since the row of {followed.name} before explains {by_change:.0%} of the label's entropy, "
                f"its value {max(explained, 0.0):.0%}: it was made of the label"
            )
        return ""

    def _purest(self, codes: Codes) -> str:
        rows, positives = codes.counts(np.ones(codes.rows)), codes.counts(self.labels)
        pure = (positives >= PURE * rows) & (rows > 0)
        pure[0] = False
        held = float(positives[pure].sum() / max(self.labels.sum(), 1.0))
        if held < HELD or rows[pure].max(initial=0.0) < SEVERAL or self.labels.mean() > 0.5:
            return ""
        return f"has values whose rows are positive in {positives[pure].sum() / rows[pure].sum():.0%}"

    def _change(self, followed: Followed, numbers: Array) -> Codes:
        """What the column changed by since the last row of the key before the row's moment."""
        places, there = followed.earlier()
        own = numbers[followed.order]
        change = np.empty(len(numbers))
        change[followed.order] = np.where(there, own - own[places], np.nan)
        return bucketed(change)

    def _foresees(self, followed: Followed, effect: Array) -> str:
        """Whether what varies within the key goes with the labels to come more than with those that were."""
        rows = followed.known
        if not rows.any():
            return ""
        own = effect[followed.order]
        count = np.bincount(followed.key[rows], minlength=followed.key[-1] + 1)
        mean = np.bincount(followed.key[rows], own[rows], minlength=len(count)) / np.maximum(count, 1)
        varying = own - mean[followed.key]
        past, coming = followed.around(self.residual[followed.order])
        z = followed.z(varying * (coming - past), rows)
        if z < CLEAR:
            return ""
        return (
            f"it goes with the labels of the rows of {followed.name} that come after more than with those before, "
            f"by {z:.0f} standard errors: it looks ahead"
        )

    def _sums(self, followed: Followed, effect: Array) -> str:
        """Whether beside the column other labels of the key speak against the row's own."""
        rows = followed.known
        if not rows.any():
            return ""
        first, _ = self.flat.slope(effect)
        left, plain = first[followed.order], self.residual[followed.order]
        before, after = followed.around(plain)
        everywhere, others = self._others(followed, plain)
        for values, chosen, which in (
            (before, rows, "before"),
            (after, rows, "after"),
            (others, everywhere, "around"),
        ):
            alone, beside = followed.z(plain * values, chosen), followed.z(left * values, chosen)
            if beside < -AGAINST and alone - beside > TURNED:
                return (
                    f"beside it the labels of the rows of {followed.name} {which} speak against the row's own, by "
                    f"{-beside:.0f} standard errors: it was made of the labels, the row's own among them"
                )
        return ""

    def _others(self, followed: Followed, values: Array) -> tuple[Array, Array]:
        """Rows whose key has others, and the mean of the values of these, all but the row's own.

        They are of the row's own half: what the column says was learned from the other one, and would say the same again.
        """
        group = followed.key.astype(np.int64) * 2 + self.half[followed.order]
        count, total = np.bincount(group), np.bincount(group, values)
        rows = (count[group] > LEAST) & (followed.key > 0)
        return rows, (total[group] - values) / np.maximum(count[group] - 1, 1)


def bucketed(numbers: Array) -> Codes:
    """Numbers as codes: few of them each its own, many in buckets of as many rows each; NaN has none."""
    known = np.isfinite(numbers)
    values = numbers[known]
    codes = np.zeros(len(numbers), np.int32)
    different = np.unique(values)
    if len(different) <= FEW:
        codes[known] = np.searchsorted(different, values) + 1
        return Codes(codes, len(different) + 1)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, CUTS + 1)[1:-1]))
    codes[known] = np.searchsorted(edges, values, side="right") + 1
    return Codes(codes, len(edges) + 2)


def _as_numbers(codes: Codes, searched: Searched, column: Column) -> Array | None:
    """The words as numbers, where all of them are."""
    if codes.offsets is not None:
        return None
    words = searched.dictionary[column.name]
    try:
        values = np.array([float(word) for word in words.to_pylist()])
    except ValueError:
        return None
    return np.concatenate([[np.nan], values])[codes.values]


def _bounds(first: Array) -> tuple[Array, Array]:
    """(rows,) where the run of each row begins and ends; `first` is true where one begins."""
    starts = np.flatnonzero(first)
    ends = np.append(starts[1:], len(first))
    run = np.cumsum(first) - 1
    return starts[run], ends[run]
