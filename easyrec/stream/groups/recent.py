"""The last values of a column, and its first one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from easyrec.store.streams import Aggregate
from easyrec.stream.groups import Batch, Group, Lists, latest, listed
from easyrec.stream.groups.panes import cut
from easyrec.stream.spans import Panes, Spans, spans_of


class RecentGroup(Group):
    """Values of one column, of those that are not null, in the order of their times.

    Args:
        name: What its lists' names begin with.
        width: Length of a pane in microseconds; 0: all of time is one pane.
        aggregates: The fields.
        columns: Types of the events' columns.
    """

    def __init__(self, name: str, width: int, aggregates: Sequence[Aggregate], columns: dict[str, str]) -> None:
        self.width, self.forever, self.aggregates = width, not width, list(aggregates)
        assert self.aggregates[0].column is not None
        self.column = self.aggregates[0].column
        self.at, self.value = f"{name}t", f"{name}v"
        self.types = {self.at: "array<int64>", self.value: f"array<{columns[self.column]}>"}
        self.stays = max(size + 1 - lead for _, size, lead in (cut(one.window) for one in aggregates))
        self.most = max((one.k for one in aggregates if one.function == "last"), default=0)
        self.first = any(one.function == "first" for one in aggregates)
        # Where all windows reach up to now, what has enough newer ones behind it, up to the watermark, is never seen again.
        self.to_now = not self.first and all(cut(one.window)[2] for one in aggregates)

    def update(self, state: pa.RecordBatch, events: Batch, watermark: int) -> dict[str, pa.Array]:
        """See the contract."""
        old = Lists.of(state, [self.at])
        there = np.flatnonzero(events.valid(self.column))
        fresh = events.rows.column(self.column).take(pa.array(there))
        owner = np.concatenate([old.owner, events.key[there]])
        times = np.concatenate([np.asarray(old.columns[self.at]), events.times[there]])
        order = np.lexsort((times, owner))  # of one time those that came first are first
        owner, times = owner[order], times[order]
        pane = self._panes(times)
        within = np.maximum(pane, watermark // self.width) if self.to_now and self.width else pane
        new = np.ones(len(owner), bool)
        new[1:] = (owner[1:] != owner[:-1]) | (within[1:] != within[:-1])
        number = np.cumsum(new) - 1
        places = np.arange(len(owner))
        ends = np.append(np.flatnonzero(new)[1:], len(owner)) if len(owner) else places
        kept = ends[number] - places <= self.most if len(owner) else np.zeros(0, bool)
        if self.first:
            kept |= new
        if self.width:
            kept &= (pane + self.stays) * self.width > watermark
        values = pa.concat_arrays([_items(state.column(self.value)), fresh]).take(pa.array(order[kept]))
        owner = owner[kept]
        return {
            self.at: listed(owner, events.keys, times[kept], pa.int64()),
            self.value: listed(owner, events.keys, values, values.type),
        }

    def fields(self, state: pa.RecordBatch, watermark: int) -> dict[str, pa.Array]:
        """See the contract."""
        held = Lists.of(state, [self.at])
        values = _items(state.column(self.value))
        panes = Panes(held.owner, self._panes(np.asarray(held.columns[self.at])), state.num_rows)
        made = {}
        for one in self.aggregates:
            width, size, lead = cut(one.window)
            spans = spans_of(panes, width, size, lead, watermark)
            if one.function == "first":
                spans = spans.pruned(spans.start, np.minimum(spans.start + 1, spans.stop))
                empty = spans.start >= spans.stop
                made[one.name] = spans.steps(values.take(pa.array(spans.start, pa.int64(), mask=empty)))
            else:
                spans = spans.pruned(np.maximum(spans.start, spans.stop - one.k), spans.stop)
                made[one.name] = spans.steps(_runs(values, spans))
        return made

    def until(self, state: pa.RecordBatch) -> np.ndarray:
        """See the contract."""
        held = Lists.of(state, [self.at])
        left = (self._panes(np.asarray(held.columns[self.at])) + self.stays) * self.width
        return latest(held.owner, left, state.num_rows)

    def _panes(self, times: np.ndarray) -> np.ndarray:
        return times // self.width if self.width else np.zeros(len(times), np.int64)


def _items(lists: pa.ListArray) -> pa.Array:
    items = lists.flatten()
    return items.combine_chunks() if isinstance(items, pa.ChunkedArray) else items


def _runs(values: pa.Array, spans: Spans) -> pa.ListArray:
    """The values of each span as a list."""
    lengths = spans.stop - spans.start
    ends = np.concatenate([[0], np.cumsum(lengths)])
    places = np.arange(ends[-1]) + np.repeat(spans.start - ends[:-1], lengths)
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), values.take(pa.array(places)))
