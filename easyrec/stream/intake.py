"""Which events count: those that can be read, in time, not of the future, as asked for, and once."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from easyrec.errors import DataError
from easyrec.store.streams import Condition, EventsConfig
from easyrec.stream.letters import DeadLetters
from easyrec.stream.seen import Seen
from easyrec.stream.sources import Events, Malformed
from easyrec.stream.watermark import Watermarks

UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1}
LONGEST = 1 << 60
YEARS_S = 10 * 31_556_952
"""Ten years: a time that lies no further from now in another unit was meant in that."""
"""No time is so far from 1970, in microseconds."""


@dataclass(frozen=True)
class Taken:
    """Events that count, in the order in which they came.

    Attributes:
        rows: Their columns.
        times: (rows,) int64: event times in microseconds since 1970.
        counts: How many were read, counted, and left out by reason.
    """

    rows: pa.RecordBatch
    times: np.ndarray
    counts: Counter[str]


class Intake:
    """Takes events as they come.

    Args:
        config: Which ones count.
        watermarks: How far event time has come.
        seen: Ids that were met; None: events have none.
        needed: Columns of which none may be null, such as a key.
        letters: Takes what is malformed, if the config says so.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        config: EventsConfig,
        watermarks: Watermarks,
        seen: Seen | None,
        needed: Sequence[str] = (),
        letters: DeadLetters | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.config, self.watermarks, self.seen, self.needed, self.clock = config, watermarks, seen, needed, clock
        self.letters = letters

    def take(self, events: Sequence[Events]) -> Taken:
        """The events that count.

        Raises:
            DataError: One is malformed and must not be.
            StoreError: Dead letters cannot be written.
        """
        counts = Counter[str]()
        bad: list[Malformed] = []
        rows, times = [], []
        for some in events:
            counts["read"] += some.rows.num_rows + len(some.malformed)
            bad += some.malformed
            one, when = self._one(some, counts, bad)
            if one.num_rows:
                rows.append(one)
                times.append(when)
        whole = pa.Table.from_batches(rows, self.config.schema).combine_chunks().to_batches()
        found = whole[0] if whole else pa.RecordBatch.from_pylist([], self.config.schema)
        moments = np.concatenate(times) if times else np.zeros(0, np.int64)
        if self.seen is not None and found.num_rows:
            again = self.seen.again(found.column(self.config.id), moments)
            if again.any():
                counts["duplicate"] += int(again.sum())
                found, moments = found.filter(pa.array(~again)), moments[~again]
        counts["counted"] += found.num_rows
        self._judge(bad, counts)
        return Taken(found, moments, counts)

    def _one(self, events: Events, counts: Counter[str], bad: list[Malformed]) -> tuple[pa.RecordBatch, np.ndarray]:
        config, rows = self.config, events.rows
        times, wrong = self._times(rows)
        if wrong.any():
            bad += _rejected(events, rows, wrong, f"'{config.event_time}' is no time{self._meant(rows, wrong)}")
        arrived = np.full(len(times), int(self.clock() * 1e6)) if events.arrived is None else events.arrived
        ahead = ~wrong & (times > arrived + round(config.skew * 1e6))
        counts["ahead"] += int(ahead.sum())
        good = ~(wrong | ahead)
        late = np.zeros(len(times), bool)
        # A clock that is ahead moves the watermark to the event's arrival and no further.
        reached = np.minimum(times, arrived)[good]
        late[good] = self.watermarks.late(events.partition, reached, time.monotonic())
        counts["late"] += int(late.sum())
        good &= ~late
        if config.where:
            wanted = asked(rows, config.where)
            counts["filtered"] += int((good & ~wanted).sum())
            good &= wanted
        for name in self.needed:
            empty = _empty(rows.column(name)) & good
            if empty.any():
                bad += _rejected(events, rows, empty, f"'{name}' is null or empty")
                good &= ~empty
        return (rows, times) if good.all() else (rows.filter(pa.array(good)), times[good])

    def _times(self, rows: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
        """Microseconds since 1970 of each event, and which have none."""
        column = rows.column(self.config.event_time)
        unit = 1 if pa.types.is_timestamp(column.type) else UNITS[self.config.time_unit]
        values = np.asarray(column.cast(pa.int64()).fill_null(LONGEST))
        wrong = (values > LONGEST // unit) | (values < -LONGEST // unit) | (values == LONGEST)
        return np.where(wrong, 0, values) * unit, wrong

    def _meant(self, rows: pa.RecordBatch, wrong: np.ndarray) -> str:
        """What the first of some times that are none may have meant."""
        value = rows.column(self.config.event_time)[int(np.flatnonzero(wrong)[0])].as_py()
        if not isinstance(value, int):
            return ""
        now, own = self.clock() * 1e6, UNITS[self.config.time_unit]
        for name, scale in UNITS.items():
            if scale < own and abs(value * scale - now) < YEARS_S * 1e6:
                return f": {value}, which looks like `time_unit: {name}`"
        return f": {value}"

    def _judge(self, bad: Sequence[Malformed], counts: Counter[str]) -> None:
        if not bad:
            return
        counts["malformed"] += len(bad)
        if self.config.malformed == "fail":
            told = "With `malformed: skip` it is counted, with `malformed: dead_letters` kept"
            raise DataError(f"{bad[0].reason}. {told}", file=bad[0].place)
        if self.config.malformed == "dead_letters":
            assert self.letters is not None
            self.letters.write(bad)


def _rejected(events: Events, rows: pa.RecordBatch, which: np.ndarray, reason: str) -> list[Malformed]:
    found = rows.filter(pa.array(which)).to_pylist()
    places: list[str] = []
    for row in np.flatnonzero(which).tolist():
        whole = f"partition {events.partition}, before {events.offset}"
        places.append(whole if events.place is None else events.place(row))
    return [Malformed(place, reason, json.dumps(one, default=str)) for place, one in zip(places, found, strict=True)]


def _empty(column: pa.Array) -> np.ndarray:
    empty = column.is_null()
    if pa.types.is_string(column.type):
        empty = pc.or_kleene(empty, pc.equal(column, ""))
    return np.asarray(empty.fill_null(False))


def asked(rows: pa.RecordBatch, where: dict[str, Condition]) -> np.ndarray:
    """Which rows hold what is asked for; null holds nothing."""
    found = np.ones(rows.num_rows, bool)
    for name, condition in where.items():
        column = rows.column(name)
        checks = []
        if condition.is_ is not None:
            checks.append(pc.equal(column, _scalar(condition.is_, column.type)))
        if condition.is_not is not None:
            checks.append(pc.not_equal(column, _scalar(condition.is_not, column.type)))
        if condition.among is not None:
            values = pa.array([_scalar(value, column.type).as_py() for value in condition.among], column.type)
            checks.append(pc.is_in(column, values))
        if condition.least is not None:
            checks.append(pc.greater_equal(column, condition.least))
        if condition.most is not None:
            checks.append(pc.less_equal(column, condition.most))
        if condition.null is not None:
            checks.append(pc.equal(column.is_null(), condition.null))
        for check in checks:
            found &= np.asarray(check.fill_null(False))
    return found


def _scalar(value: object, kind: pa.DataType) -> pa.Scalar:
    return pa.scalar(value).cast(kind)
