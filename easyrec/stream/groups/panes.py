"""Counts, sums, means, least and greatest values over panes: tumbling, hopping and sliding windows, and all of time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from easyrec.store.codec import arrow_type
from easyrec.store.streams import Aggregate, Window
from easyrec.stream.groups import Batch, Group, Lists, latest, listed
from easyrec.stream.spans import Panes, Spans, folded, spans_of


def cut(window: Window | None) -> tuple[int, int, int]:
    """Length of the panes of a window in microseconds, how many it holds, and whether one that is not complete counts."""
    if window is None:
        return 0, 1, 1
    return window.hop_micros, window.size_micros // window.hop_micros, int(window.type == "sliding")


class Part:
    """A number of each pane: how many events there are, or the sum, the least, the greatest of a column.

    Args:
        fold: What makes one number of two.
        column: Name; None: of the event itself.
        kind: The column's type.
    """

    def __init__(self, fold: np.ufunc, column: str | None, kind: str) -> None:
        self.fold, self.column = fold, column
        whole = column is None or kind in ("int32", "int64", "bool", "timestamp")
        self.dtype: type = np.int64 if whole else np.float64
        self.type = "array<int64>" if whole else "array<double>"
        self.empty: float = 0
        if fold is not np.add:
            least = fold is np.maximum
            self.empty = (-(1 << 63) if least else (1 << 63) - 1) if whole else (-np.inf if least else np.inf)

    def of(self, events: Batch) -> np.ndarray:
        """The number of each event."""
        if self.column is None:
            return np.ones(len(events.times), np.int64)
        return events.numbers(self.column, self.dtype, self.empty)


class Present(Part):
    """How many events have a value."""

    def __init__(self, column: str) -> None:
        super().__init__(np.add, None, "int64")
        self.present = column

    def of(self, events: Batch) -> np.ndarray:
        """1 for each event that has."""
        return events.valid(self.present).astype(np.int64)


def parts_of(aggregates: Sequence[Aggregate], columns: dict[str, str]) -> dict[str, Part]:
    """What has to be kept for some fields, by name."""
    made: dict[str, Part] = {}
    for one in aggregates:
        if one.column is None:
            made.setdefault("n", Part(np.add, None, "int64"))
            continue
        kind = columns[one.column]
        made.setdefault(f"n_{one.column}", Present(one.column))
        if one.function in ("sum", "mean"):
            made.setdefault(f"sum_{one.column}", Part(np.add, one.column, kind))
        elif one.function in ("min", "max"):
            fold = np.minimum if one.function == "min" else np.maximum
            made.setdefault(f"{one.function}_{one.column}", Part(fold, one.column, kind))
    return made


def result(one: Aggregate, kind: str, held: dict[str, np.ndarray]) -> pa.Array:
    """The values of a field out of what was kept."""
    if one.function == "count":
        return pa.array(held["n" if one.column is None else f"n_{one.column}"], pa.int64())
    count = held[f"n_{one.column}"]
    if one.function == "mean":
        with np.errstate(invalid="ignore", divide="ignore"):
            return pa.array(held[f"sum_{one.column}"] / count, pa.float64(), mask=count == 0)
    values = pa.array(held[f"{one.function}_{one.column}"], mask=count == 0)
    return values.cast(arrow_type(kind))


class PaneGroup(Group):
    """Panes of one length.

    Args:
        name: What its lists' names begin with.
        width: Length of a pane in microseconds; 0: all of time is one pane.
        aggregates: The fields.
        columns: Types of the events' columns.
    """

    def __init__(self, name: str, width: int, aggregates: Sequence[Aggregate], columns: dict[str, str]) -> None:
        self.name, self.width, self.aggregates, self.columns = name, width, list(aggregates), columns
        self.forever = not width
        self.parts = parts_of(aggregates, columns)
        self.types = {f"{name}at": "array<int64>", **{f"{name}{key}": part.type for key, part in self.parts.items()}}
        # After how many panes the last window has let go of one.
        self.stays = max(size + 1 - lead for _, size, lead in (cut(one.window) for one in aggregates))

    def update(self, state: pa.RecordBatch, events: Batch, watermark: int) -> dict[str, pa.Array]:
        """See the contract."""
        old = Lists.of(state, list(self.types))
        at = events.times // self.width if self.width else np.zeros(len(events.times), np.int64)
        owner = np.concatenate([old.owner, events.key])
        at = np.concatenate([old.columns[f"{self.name}at"], at])
        order = np.lexsort((at, owner))
        owner, at = owner[order], at[order]
        new = np.ones(len(owner), bool)
        new[1:] = (owner[1:] != owner[:-1]) | (at[1:] != at[:-1])
        starts = np.flatnonzero(new)
        owner, at = owner[starts], at[starts]
        kept = (at + self.stays) * self.width > watermark if self.width else np.ones(len(at), bool)
        owner = owner[kept]
        made = {f"{self.name}at": listed(owner, events.keys, at[kept], pa.int64())}
        for key, part in self.parts.items():
            name = f"{self.name}{key}"
            values = np.concatenate([old.columns[name], part.of(events)])[order]
            values = part.fold.reduceat(values, starts)[kept] if len(starts) else values
            made[name] = listed(owner, events.keys, values, arrow_type(part.type).value_type)
        return made

    def fields(self, state: pa.RecordBatch, watermark: int) -> dict[str, pa.Array]:
        """See the contract."""
        held = Lists.of(state, list(self.types))
        panes = Panes(held.owner, np.asarray(held.columns[f"{self.name}at"]), state.num_rows)
        spans: dict[tuple[int, int], Spans] = {}
        made = {}
        for one in self.aggregates:
            width, size, lead = cut(one.window)
            if (size, lead) not in spans:
                spans[size, lead] = spans_of(panes, width, size, lead, watermark)
            now, values = spans[size, lead], {}
            for key, part in parts_of([one], self.columns).items():
                folds, empty = folded(part.fold, np.asarray(held.columns[f"{self.name}{key}"]), now)
                values[key] = np.where(empty, 0, folds)
            made[one.name] = now.steps(result(one, one.kind(self.columns), values))
        return made

    def until(self, state: pa.RecordBatch) -> np.ndarray:
        """See the contract."""
        held = Lists.of(state, [f"{self.name}at"])
        left = (np.asarray(held.columns[f"{self.name}at"]) + self.stays) * self.width
        return latest(held.owner, left, state.num_rows)
