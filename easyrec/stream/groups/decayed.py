"""Counts in which an event counts the less the older it is: half after each half-life."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from easyrec.store.streams import Aggregate
from easyrec.stream.groups import Batch, Group, Lists, latest, listed
from easyrec.stream.watermark import BEGIN

NOTHING = 20
"""Half-lives after which an event counts nothing: a millionth."""


class DecayedGroup(Group):
    """Counts of one half-life.

    Args:
        name: What its lists' names begin with.
        half_life: Microseconds.
        aggregates: The fields.
    """

    def __init__(self, name: str, half_life: float, aggregates: Sequence[Aggregate]) -> None:
        self.half_life, self.aggregates = half_life, list(aggregates)
        self.columns = {one.column: f"{name}n_{one.column or ''}" for one in aggregates}
        self.at = f"{name}t"
        self.types = {self.at: "array<int64>", **dict.fromkeys(self.columns.values(), "array<double>")}

    def update(self, state: pa.RecordBatch, events: Batch, watermark: int) -> dict[str, pa.Array]:
        """See the contract."""
        old = Lists.of(state, list(self.types))
        numbers = np.arange(events.keys)
        now, before = np.full(events.keys, BEGIN), np.full(events.keys, BEGIN)
        before[old.owner] = now[old.owner] = old.columns[self.at]
        np.maximum.at(now, events.key, events.times)
        left = np.where(before == BEGIN, 0.0, np.exp2((before - now) / self.half_life))
        weights = np.exp2((events.times - now[events.key]) / self.half_life)
        made = {self.at: listed(numbers, events.keys, now, pa.int64())}
        for column, name in self.columns.items():
            held = np.zeros(events.keys)
            held[old.owner] = old.columns[name]
            own = weights if column is None else weights * events.valid(column)
            values = held * left + np.bincount(events.key, own, events.keys)
            made[name] = listed(numbers, events.keys, values, pa.float64())
        return made

    def fields(self, state: pa.RecordBatch, watermark: int) -> dict[str, pa.Array]:
        """See the contract."""
        times = state.column(self.at)
        made = {}
        for one in self.aggregates:
            values = state.column(self.columns[one.column])
            made[one.name] = pa.MapArray.from_arrays(times.offsets, times.values, values.values)
        return made

    def until(self, state: pa.RecordBatch) -> np.ndarray:
        """See the contract."""
        held = Lists.of(state, list(self.types))
        values = np.max([held.columns[name] for name in self.columns.values()], axis=0)
        with np.errstate(divide="ignore"):
            lives = np.log2(values) + NOTHING
        left = held.columns[self.at] + np.where(np.isfinite(lives), lives * self.half_life, 0).astype(np.int64)
        return latest(held.owner, left, state.num_rows)
