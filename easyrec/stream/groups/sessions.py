"""Counts, sums, means, least and greatest values over sessions, which end where a key has had no event for a while."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from easyrec.store.codec import arrow_type
from easyrec.store.streams import Aggregate
from easyrec.stream.groups import Batch, Group, Lists, latest, listed
from easyrec.stream.groups.panes import parts_of, result
from easyrec.stream.spans import ALWAYS, Spans, folded


class SessionGroup(Group):
    """Sessions of one gap. A late event may join two of them.

    Args:
        name: What its lists' names begin with.
        gap: Microseconds without an event that end a session.
        aggregates: The fields.
        columns: Types of the events' columns.
    """

    def __init__(self, name: str, gap: int, aggregates: Sequence[Aggregate], columns: dict[str, str]) -> None:
        self.gap, self.aggregates, self.columns = gap, list(aggregates), columns
        self.begin, self.end = f"{name}from", f"{name}to"
        self.parts = {f"{name}{key}": part for key, part in parts_of(aggregates, columns).items()}
        self.types = {self.begin: "array<int64>", self.end: "array<int64>"}
        self.types |= {key: part.type for key, part in self.parts.items()}
        self._prefix = name

    def update(self, state: pa.RecordBatch, events: Batch, watermark: int) -> dict[str, pa.Array]:
        """See the contract."""
        old = Lists.of(state, list(self.types))
        owner = np.concatenate([old.owner, events.key])
        begin = np.concatenate([old.columns[self.begin], events.times])
        order = np.lexsort((begin, owner))
        owner, begin = owner[order], begin[order]
        end = np.concatenate([old.columns[self.end], events.times])[order]
        starts = np.flatnonzero(_begins(owner, begin, end, self.gap))
        kept = np.ones(len(starts), bool)
        made = {}
        if len(starts):
            end = np.maximum.reduceat(end, starts)
            kept = end + self.gap >= watermark
            owner, begin, end = owner[starts][kept], begin[starts][kept], end[kept]
        for name, values in ((self.begin, begin), (self.end, end)):
            made[name] = listed(owner, events.keys, values, pa.int64())
        for name, part in self.parts.items():
            values = np.concatenate([old.columns[name], part.of(events)])[order]
            values = part.fold.reduceat(values, starts)[kept] if len(starts) else values
            made[name] = listed(owner, events.keys, values, arrow_type(part.type).value_type)
        return made

    def fields(self, state: pa.RecordBatch, watermark: int) -> dict[str, pa.Array]:
        """See the contract."""
        held = Lists.of(state, list(self.types))
        spans = self._spans(held, state.num_rows, watermark)
        made = {}
        for one in self.aggregates:
            values = {}
            for key, part in parts_of([one], self.columns).items():
                folds, empty = folded(part.fold, np.asarray(held.columns[f"{self._prefix}{key}"]), spans)
                values[key] = np.where(empty, 0, folds)
            made[one.name] = spans.steps(result(one, one.kind(self.columns), values))
        return made

    def until(self, state: pa.RecordBatch) -> np.ndarray:
        """See the contract."""
        held = Lists.of(state, [self.end])
        return latest(held.owner, np.asarray(held.columns[self.end]) + self.gap, state.num_rows)

    def _spans(self, held: Lists, keys: int, watermark: int) -> Spans:
        """Each session from its first event on, and none from where its gap has passed."""
        count = len(held.owner)
        numbers = np.arange(keys)
        who = np.concatenate([numbers, held.owner, held.owner])
        since = np.concatenate([np.full(keys, ALWAYS), held.columns[self.begin], held.columns[self.end] + self.gap])
        start = np.concatenate([np.zeros(keys, np.int64), np.arange(count), np.zeros(count, np.int64)])
        stop = np.concatenate([np.zeros(keys, np.int64), np.arange(count) + 1, np.zeros(count, np.int64)])
        order = np.lexsort((since, who))
        who, since, start, stop = who[order], since[order], start[order], stop[order]
        ahead = np.ones(len(who), bool)
        ahead[:-1] = (who[1:] != who[:-1]) | (since[1:] > watermark)
        who, since, start, stop = who[ahead], since[ahead], start[ahead], stop[ahead]
        return Spans.of(who, since, start, stop, keys)


def _begins(owner: np.ndarray, begin: np.ndarray, end: np.ndarray, gap: int) -> np.ndarray:
    """Which of some intervals, sorted by owner and begin, are further than a gap behind all before them."""
    new = np.ones(len(owner), bool)
    if len(owner) < 2:
        return new
    # The latest end so far within an owner, by rank: owner and rank fit into one number, of which one running maximum is taken.
    ranked = np.sort(end)
    place = owner * len(owner) + np.searchsorted(ranked, end)
    before = ranked[np.maximum.accumulate(place)[:-1] % len(owner)]
    new[1:] = (owner[1:] != owner[:-1]) | (begin[1:] - before > gap)
    return new
