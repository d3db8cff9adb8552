"""Aggregates: how often rows of a key came, and how often their label was 1, strictly before a row's event.

Time is cut into periods. A row sees the table that was made at the start of its period, of events whose label was known
before that: training sees what serving will, a table that is as old. The table holds a bucket for each key and period,
and is an ordinary vocabulary: the words are `<key>_<period>`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from easyrec.config.cross import AggregatesConfig, BoundariesConfig
from easyrec.tune.cross.buckets import coded, edges_of
from easyrec.tune.cross.codes import Array, Codes, compact, crossed
from easyrec.tune.cross.column import Column
from easyrec.tune.cross.rows import PER_SECOND, Searched

Measure = Literal["rate", "count"]
CELLS = 40_000_000
"""Keys times periods at most."""
LEAST_KEYS = 20
"""Different keys of a column at least, or its own embedding says as much."""
LEAST_ROWS = 3.0
"""Rows of an average key at least."""


@dataclass(frozen=True)
class Aggregate:
    """What is counted.

    Attributes:
        keys: Names of the columns that make the key.
        window: Seconds that it reaches back; None: to the start.
        measure: Share of the rows whose label is 1, or rows per period.
    """

    keys: tuple[str, ...]
    window: float | None
    measure: Measure

    @property
    def name(self) -> str:
        """What its feature is called."""
        reach = "all" if self.window is None else told(self.window)
        return f"{'_x_'.join(self.keys)}_{self.measure}_{reach}"


def told(seconds: float) -> str:
    """A time as a name holds it: 7d, 12h."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{seconds:g}s".replace(".", "_")


class Tables:
    """Counts by key and period.

    Args:
        searched: The rows; their time must be there.
        config: The section.
    """

    def __init__(self, searched: Searched, config: AggregatesConfig) -> None:
        assert searched.time is not None
        self.searched, self.config = searched, config
        train = searched.train
        self.start = float(np.floor(searched.time[0] / config.every) * config.every)
        period = np.floor((searched.time - self.start) / config.every).astype(np.int64)
        self.last = int(np.floor((searched.time[train.stop - 1] + config.delay - self.start) / config.every)) + 1
        self.period = np.clip(period, 0, self.last)
        known = np.floor((searched.time[train] + config.delay - self.start) / config.every).astype(np.int64) + 1
        self.known = np.minimum(known, self.last)
        self.rate = float(searched.labels[searched.fit].mean())
        self._key: dict[tuple[str, ...], tuple[Codes, Array, Array]] = {}

    def wanted(self) -> Iterator[Aggregate]:
        """All aggregates that the section asks for and whose keys are there."""
        for keys in self.keys():
            for window in self.config.windows:
                reach = None if window == "all" else float(window)
                yield Aggregate(keys, reach, "rate")
                yield Aggregate(keys, reach, "count")

    def keys(self) -> list[tuple[str, ...]]:
        """Keys: those that are named, else single columns, and the user's with each column of the item."""
        if self.config.keys is not None:
            return [tuple(key) for key in self.config.keys]
        sized: dict[str, dict[str, int]] = {"user": {}, "item": {}}
        for name, codes in self.searched.words.items():
            side = self.searched.columns[name].side
            if codes.offsets is None and side in sized and codes.slice(self.searched.train).distinct >= LEAST_KEYS:
                sized[side][name] = codes.size
        found: list[tuple[str, ...]] = [(name,) for side in sized.values() for name in side]
        if sized["user"]:
            user = max(sized["user"], key=lambda name: sized["user"][name])
            found += [(user, name) for name in sized["item"]]
        return [keys for keys in found if self._dense(keys)]

    def _dense(self, keys: Sequence[str]) -> bool:
        """Whether the key's rows come often enough, and its table is not too large."""
        codes = self.key(keys)
        rows = self.searched.judge.stop
        return (codes.size - 1) * LEAST_ROWS <= rows and codes.size * (self.last + 2) <= CELLS

    def key(self, keys: Sequence[str]) -> Codes:
        """Codes of the key, of all rows."""
        whole = self.searched.words[keys[0]]
        for name in keys[1:]:
            whole = crossed(whole, self.searched.words[name])
        return whole if len(keys) == 1 else compact(whole.values)

    def values(self, aggregate: Aggregate) -> tuple[Array, Array, Array]:
        """The aggregate of every row; and of every key in every period, and which of them have counted a row.

        Returns:
            (rows,) NaN where nothing was counted; (keys, periods) the same.
        """
        codes, shown, clicked = self._counted(aggregate.keys)
        back = self.last + 1 if aggregate.window is None else max(int(aggregate.window // self.config.every), 1)
        seen, positive = (_within(table, back) for table in (shown, clicked))
        if aggregate.measure == "rate":
            table = (positive + self.config.smoothing * self.rate) / (seen + self.config.smoothing)
        else:
            table = seen / np.minimum(np.maximum(np.arange(self.last + 1), 1), back)
        table = np.where(seen > 0, table, np.nan)
        table[0] = np.nan
        return table[codes.values, self.period], table, seen

    def _counted(self, keys: tuple[str, ...]) -> tuple[Codes, Array, Array]:
        """The key, and by key and period how many rows were known, and how many of label 1."""
        if keys not in self._key:
            codes = self.key(keys)
            train = self.searched.train
            cells = codes.values[train].astype(np.int64) * (self.last + 1) + self.known
            shape = (codes.size, self.last + 1)
            size = codes.size * (self.last + 1)
            shown = np.bincount(cells, minlength=size).reshape(shape).cumsum(axis=1)
            clicked = np.bincount(cells, self.searched.labels[train], minlength=size).reshape(shape).cumsum(axis=1)
            self._key = {keys: (codes, shown, clicked)}  # one at a time: they are large
        return self._key[keys]

    def bucketed(self, aggregate: Aggregate) -> tuple[Codes, list[float]]:
        """The aggregate of every row in buckets by the label, and their edges."""
        values, _, _ = self.values(aggregate)
        fit = self.searched.fit
        shape = BoundariesConfig(buckets=self.config.buckets)
        edges = edges_of(values[fit], self.searched.labels[fit], shape)
        return coded(values, edges), edges

    # -------------------------------------------------------------------------------------- as features

    def clock(self, free: Callable[[str], str]) -> dict[str, Any]:
        """The feature that tells a row's period: the last one where the row tells no time, or a later one."""
        unit = PER_SECOND[self.searched.config.time_unit]
        column = str(self.searched.time_column)
        variable = column if column.isidentifier() else f"`{column}`"
        return {
            "type": "expr",
            "name": free(f"period_{told(self.config.every)}"),
            "expression": f"min(max(floor(({variable} - {self.start * unit:.0f}) / {self.config.every * unit:.0f}), 0), {self.last})",
            "variables": [f"{self.searched.experiment.generator.inputs.get(column, 'context')}:{column}"],
            "default_value": str(self.last),
            "stub_type": True,
        }

    def entries(self, aggregate: Aggregate, edges: list[float]) -> tuple[pa.StringArray, Array] | None:
        """Words and buckets of the table: of the periods in which a key's rows came, and of the last ones; None: too many."""
        codes, _, _ = self._counted(aggregate.keys)
        _, table, _ = self.values(aggregate)
        train = self.searched.train
        wanted = np.zeros(table.shape, bool)
        wanted[codes.values[train], self.period[train]] = True
        wanted[:, self.period[train.stop - 1] :] = True  # rows to come may be of any key
        wanted &= np.isfinite(table)
        key, period = np.nonzero(wanted)
        if len(key) > self.config.max_entries:
            return None
        buckets = coded(table[key, period], edges).values
        first = np.zeros(codes.size, np.int64)  # a row of each key, which knows its words
        first[codes.values[::-1]] = np.arange(codes.rows)[::-1]
        parts = [
            self.searched.dictionary[name]
            .cast(pa.string())
            .take(pa.array(self.searched.words[name].values[first[key]].astype(np.int64) - 1))
            for name in aggregate.keys
        ]
        words = pc.binary_join_element_wise(*parts, pa.array(period).cast(pa.string()), "_")
        return words, buckets

    def features(
        self,
        aggregate: Aggregate,
        columns: Mapping[str, Column],
        file: str,
        free: Callable[[str], str],
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The features of an aggregate whose table is a file: the row's period, and what the table holds of it.

        Args:
            aggregate: What is counted.
            columns: Columns by name.
            file: Path of the table.
            free: Gives a name that no feature of the config has.
        """
        clock = self.clock(free)
        feature = {
            "type": "combo",
            "name": free(aggregate.name),
            "expression": [*(columns[name].source for name in aggregate.keys), f"feature:{clock['name']}"],
            "vocab_file": file,
            "default_bucketize_value": 0,
        }
        return clock, feature


def table_text(words: pa.StringArray, buckets: Array) -> str:
    """A table as a vocabulary's file; words that no file can hold are left out."""
    numbers = pa.array(buckets.astype(np.int64)).cast(pa.string())
    whole = pc.binary_join_element_wise(words, numbers, "\t")
    whole = whole.filter(pc.invert(pc.match_substring_regex(words, r"[\r\n]")))
    return "\n".join(whole.to_pylist()) + "\n"


def _within(table: Array, back: int) -> Array:
    """Of running counts by period, what came within so many periods."""
    if back >= table.shape[1]:
        return table
    found = table.copy()
    found[:, back:] -= table[:, :-back]
    return found
