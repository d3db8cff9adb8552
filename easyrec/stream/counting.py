"""The fields of a stream view, out of the events of its keys."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pyarrow as pa

from easyrec.store import native
from easyrec.store.codec import arrow_type, pack
from easyrec.store.streams import Aggregate, StreamConfig
from easyrec.stream.groups import Batch, Group
from easyrec.stream.groups.panes import PaneGroup, cut
from easyrec.stream.watermark import BEGIN

NEWEST = "newest"
"""Of a key's state: the latest event time."""


def groups_of(stream: StreamConfig) -> list[Group]:
    """What has to be kept of each key."""

    def place(one: Aggregate) -> tuple[str, int]:
        return "panes", cut(one.window)[0]

    made: list[Group] = []
    for (_, width), some in groupby(sorted(stream.aggregates, key=place), place):
        made.append(PaneGroup(f"{len(made)}_", width, list(some), stream.columns))
    return made


class Counting:
    """What is kept of keys, as bytes, as columns, and as fields.

    Args:
        stream: What is counted.
    """

    def __init__(self, stream: StreamConfig) -> None:
        self.groups = groups_of(stream)
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
        """(keys,) int64: from when on nothing is left of a key."""
        return np.max([group.until(state) for group in self.groups], axis=0)
