"""How many distinct values a column has: sketches of Apache DataSketches, one for each pane, joined for a window."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from easyrec.errors import MissingExtra
from easyrec.store.streams import Aggregate
from easyrec.stream.groups import Batch, Group, Lists, latest, listed
from easyrec.stream.groups.panes import cut
from easyrec.stream.spans import Panes, Spans, spans_of

LOG_SIZE = 12
"""A sketch has 4096 places: it is off by 1.6 % in the middle, and exact up to about a hundred values."""


class DistinctGroup(Group):
    """Sketches of one column over panes of one length.

    Args:
        name: What its lists' names begin with.
        width: Length of a pane in microseconds; 0: all of time is one pane.
        aggregates: The fields.

    Raises:
        MissingExtra: datasketches is not installed.
    """

    def __init__(self, name: str, width: int, aggregates: Sequence[Aggregate]) -> None:
        try:
            import datasketches  # noqa: PLC0415 (an extra)
        except ModuleNotFoundError:
            raise MissingExtra("datasketches", "sketches") from None
        self._made: Any = datasketches
        self.width, self.forever, self.aggregates = width, not width, list(aggregates)
        assert self.aggregates[0].column is not None
        self.column = self.aggregates[0].column
        self.at, self.sketch = f"{name}at", f"{name}sketch"
        self.types = {self.at: "array<int64>", self.sketch: "array<string>"}
        self.stays = max(size + 1 - lead for _, size, lead in (cut(one.window) for one in aggregates))

    def update(self, state: pa.RecordBatch, events: Batch, watermark: int) -> dict[str, pa.Array]:
        """See the contract."""
        old = Lists.of(state, [self.at])
        there = np.flatnonzero(events.valid(self.column))
        values = events.rows.column(self.column).take(pa.array(there)).dictionary_encode()
        key = events.key[there]
        at = events.times[there] // self.width if self.width else np.zeros(len(there), np.int64)
        # A value counts once in a pane, however often it comes.
        index = np.asarray(values.indices, np.int64)
        order = np.lexsort((index, at, key))
        once = _changes(key[order], at[order], index[order])
        order = order[once]
        key, at, index = key[order], at[order], index[order]
        firsts = np.flatnonzero(_changes(key, at))
        names = _plain(values.dictionary)
        known = {
            place: number
            for number, place in enumerate(
                zip(old.owner.tolist(), np.asarray(old.columns[self.at]).tolist(), strict=True)
            )
        }
        sketches = _bytes(state.column(self.sketch))
        owners, panes, made = old.owner.tolist(), np.asarray(old.columns[self.at]).tolist(), list(sketches)
        for start, stop in pairwise([*firsts.tolist(), len(key)]):
            place = (int(key[start]), int(at[start]))
            number = known.get(place)
            sketch = self._new() if number is None else self._made.hll_sketch.deserialize(made[number])
            for value in index[start:stop].tolist():
                sketch.update(names[value])
            if number is None:
                owners.append(place[0])
                panes.append(place[1])
                made.append(sketch.serialize_compact())
            else:
                made[number] = sketch.serialize_compact()
        owner, pane = np.array(owners, np.int64), np.array(panes, np.int64)
        order = np.lexsort((pane, owner))
        if self.width:
            order = order[(pane[order] + self.stays) * self.width > watermark]
        owner = owner[order]
        kept = pa.array([made[number] for number in order.tolist()], pa.binary())
        return {
            self.at: listed(owner, events.keys, pane[order], pa.int64()),
            self.sketch: listed(owner, events.keys, kept.view(pa.string()), pa.string()),
        }

    def fields(self, state: pa.RecordBatch, watermark: int) -> dict[str, pa.Array]:
        """See the contract."""
        held = Lists.of(state, [self.at])
        panes = Panes(held.owner, np.asarray(held.columns[self.at]), state.num_rows)
        sketches = [self._made.hll_sketch.deserialize(one) for one in _bytes(state.column(self.sketch))]
        made = {}
        for one in self.aggregates:
            width, size, lead = cut(one.window)
            spans = spans_of(panes, width, size, lead, watermark)
            made[one.name] = spans.steps(pa.array(self._counted(sketches, spans), pa.int64()))
        return made

    def until(self, state: pa.RecordBatch) -> np.ndarray:
        """See the contract."""
        held = Lists.of(state, [self.at])
        left = (np.asarray(held.columns[self.at]) + self.stays) * self.width
        return latest(held.owner, left, state.num_rows)

    def _counted(self, sketches: Sequence[Any], spans: Spans) -> np.ndarray:
        """How many values each span has; spans that end together are counted from their end, each pane once."""
        counts = np.zeros(len(spans.start), np.int64)
        filled = np.flatnonzero(spans.start < spans.stop)
        order = filled[np.lexsort((-spans.start[filled], spans.stop[filled]))]
        end = reached = -1
        union: Any = None
        for step, start, stop in zip(
            order.tolist(), spans.start[order].tolist(), spans.stop[order].tolist(), strict=True
        ):
            if stop != end:
                union, end, reached = self._made.hll_union(LOG_SIZE), stop, stop
            for number in range(reached - 1, start - 1, -1):
                union.update(sketches[number])
            reached = start
            counts[step] = round(union.get_estimate())
        return counts

    def _new(self) -> Any:
        return self._made.hll_sketch(LOG_SIZE)


def _changes(*columns: np.ndarray) -> np.ndarray:
    """Which rows are not as the one before."""
    new = np.ones(len(columns[0]), bool)
    new[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return new


def _plain(values: pa.Array) -> list[Any]:
    """Values that a sketch takes: texts and numbers."""
    if pa.types.is_timestamp(values.type) or pa.types.is_boolean(values.type):
        values = values.cast(pa.int64())
    found: list[Any] = values.to_pylist()
    return found


def _bytes(lists: pa.ListArray) -> list[bytes]:
    """What the codec holds as texts, which are not."""
    found: list[bytes] = lists.flatten().view(pa.binary()).to_pylist()
    return found
