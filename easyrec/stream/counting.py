"""The fields of a stream view, out of the events of its keys."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from easyrec.store import native
from easyrec.store.codec import arrow_type, pack
from easyrec.store.streams import Aggregate, StreamConfig
from easyrec.stream.groups import Batch, Group
from easyrec.stream.groups.decayed import DecayedGroup
from easyrec.stream.groups.distinct import DistinctGroup
from easyrec.stream.groups.panes import PaneGroup, cut
from easyrec.stream.groups.recent import RecentGroup
from easyrec.stream.groups.sessions import SessionGroup
from easyrec.stream.watermark import BEGIN

NEWEST = "newest"
"""Of a key's state: the latest event time."""


def groups_of(stream: StreamConfig) -> list[Group]:
    """What has to be kept of each key: what is kept alike is kept once.

    Raises:
        MissingExtra: A package for distinct counts is not installed.
    """
    alike: dict[tuple[str, float, str], list[Aggregate]] = {}
    for one in stream.aggregates:
        alike.setdefault(_kept(one), []).append(one)
    made: list[Group] = []
    for (kind, length, _), some in alike.items():
        name = f"{len(made)}_"
        if kind == "sessions":
            made.append(SessionGroup(name, int(length), some, stream.columns))
        elif kind == "decayed":
            made.append(DecayedGroup(name, length, some))
        elif kind == "recent":
            made.append(RecentGroup(name, int(length), some, stream.columns))
        elif kind == "distinct":
            made.append(DistinctGroup(name, int(length), some))
        else:
            made.append(PaneGroup(name, int(length), some, stream.columns))
    return made


def _kept(one: Aggregate) -> tuple[str, float, str]:
    """How an aggregate is kept: the kind of group, the length that it has, and the column that it is of."""
    if one.half_life is not None:
        return "decayed", one.half_life * 1e6, ""
    if one.window is not None and one.window.gap is not None:
        return "sessions", round(one.window.gap * 1e6), ""
    width = cut(one.window)[0]
    if one.function in ("first", "last"):
        return "recent", width, one.column or ""
    return ("distinct", width, one.column or "") if one.function == "distinct" else ("panes", width, "")


class Counting:
    """What is kept of keys, as bytes, as columns, and as fields.

    Args:
        stream: What is counted.
    """

    def __init__(self, stream: StreamConfig) -> None:
        self.groups = groups_of(stream)
        self.forever = any(group.forever for group in self.groups)
        self.fields = [one.name for one in stream.aggregates]
        self.types = {NEWEST: "int64"}
        for group in self.groups:
            self.types |= group.types
        names = list(self.types)
        layout = (1, list(self.types.values()), list(range(len(names))))
        self._reader = native.Reader(names, list(self.types.values()), [(0, [1], 0, [layout], list(range(len(names))))])

    def decode(self, values: Sequence[bytes | None]) -> pa.RecordBatch:
        """What is kept of some keys; null where nothing is.

        Raises:
            ValueError: It is damaged.
        """
        columns, _ = self._reader.read(list(values), 0)
        return pa.record_batch(columns)

    def encode(self, state: pa.RecordBatch) -> list[bytes]:
        """What is kept, as bytes."""
        rows = pack(state, self.types, 1)
        made: list[bytes] = native.splice([None] * len(rows), 0, 1, rows, [])
        return made

    def update(self, state: pa.RecordBatch, events: Batch, watermark: int) -> pa.RecordBatch:
        """What is kept after some events.

        Args:
            state: What was kept of each key.
            events: In the order in which they came.
            watermark: No event before it will count any more.
        """
        newest = np.array(state.column(NEWEST).fill_null(BEGIN))
        np.maximum.at(newest, events.key, events.times)
        made = {NEWEST: pa.array(newest)}
        for group in self.groups:
            made |= group.update(state, events, watermark)
        return pa.RecordBatch.from_arrays([made[name] for name in self.types], list(self.types))

    def rows(self, state: pa.RecordBatch, watermark: int) -> dict[str, pa.Array]:
        """The fields by name, as of all times from the watermark on."""
        made: dict[str, pa.Array] = {}
        for group in self.groups:
            made |= group.fields(state, watermark)
        return {name: made[name] for name in self.fields}

    def newest(self, state: pa.RecordBatch) -> pa.Array:
        """The latest event time of each key."""
        return state.column(NEWEST).cast(arrow_type("timestamp"))

    def until(self, state: pa.RecordBatch) -> np.ndarray:
        """(keys,) int64: from when on nothing is left of a key, unless something is `forever`."""
        left: np.ndarray = np.max([group.until(state) for group in self.groups], axis=0)
        return left
