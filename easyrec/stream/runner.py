"""The loop of a stream view: events in, state and offsets in one transaction, rows out.

After each batch of events the state holds, changed in one transaction, what is kept of the keys, how far each partition was
read, and whose rows have still to be written. Rows are made of the state alone: those that had not been written when a
process was stopped are made and written again when it goes on, and are the same. So each event counts once, whenever it is stopped.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from easyrec.errors import StoreError
from easyrec.store.definitions import StoreConfig
from easyrec.store.online import OnlineStore
from easyrec.store.writer import Writer, key_bytes
from easyrec.stream.counting import Counting
from easyrec.stream.groups import Batch
from easyrec.stream.intake import Intake, Taken
from easyrec.stream.letters import DeadLetters
from easyrec.stream.meta import read_meta
from easyrec.stream.outbox import Outbox
from easyrec.stream.seen import Seen
from easyrec.stream.sources import Events
from easyrec.stream.state import State
from easyrec.stream.watermark import BEGIN, Watermarks

KEYS, META = "keys", "meta"
MAIN = b"stream"
SWEPT = 1000
"""Keys that are looked at after each batch, whether anything is left of them."""


class Runner:
    """Counts the events of a stream view.

    Args:
        config: What is defined.
        view: Name of the view.
        store: Where its rows are read.
        until_end: Whether to end where the source ends now.
        folder: Where the state lies, unless the config says.
        clock: Seconds since 1970.

    Raises:
        StoreError: There is no such stream view, or its state is another one's or in use.
    """

    def __init__(
        self,
        config: StoreConfig,
        view: str,
        store: OnlineStore,
        *,
        until_end: bool = False,
        folder: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        try:
            self.view = config.view(view)
        except ValueError as error:
            raise StoreError(str(error)) from None
        if self.view.stream is None:
            raise StoreError(f"view '{view}' says not what it counts: give it a section `stream`")
        self.stream, self.join_id = self.view.stream, config.entity(self.view.entity).join_id
        self.key = self.join_id if self.stream.key is None else self.stream.key
        self.counting = Counting(self.stream)
        self._swept, self.clock = b"", clock
        self.state: State = self.stream.state.open((folder or Path()) / f"{view}.state")
        try:
            found = self.state.get(META, [MAIN])[0]
            self._meta = self._read(found)
            self.seen = None if self.stream.id is None else Seen(self.state, round(self.stream.horizon * 1e6))
            self.watermarks = Watermarks(round(self.stream.lateness * 1e6), self.stream.idle, self._meta["newest"])
            letters = None if self.stream.dead_letters is None else DeadLetters(Path(self.stream.dead_letters))
            self.intake = Intake(self.stream, self.watermarks, self.seen, [self.key], letters, clock)
            self.counts = Counter[str](self._meta["counts"])
            self.source = self.stream.source.open(self.stream.schema, until_end=until_end)
            self.source.seek(self._meta["offsets"])
            writer = Writer(config, store, clock)
            self.outbox = Outbox(self.stream.write, writer, view, self.join_id, self.state, letters)
            self.outbox.recover(self._rows_of)
        except BaseException:
            self.close()
            raise

    @property
    def watermark(self) -> int:
        """No event before it will count any more, in microseconds since 1970."""
        return self.watermarks.current(self.source.partitions, time.monotonic())

    def figures(self) -> dict[str, float]:
        """What there is to tell, see `figures.py`."""
        told: dict[str, float] = {**self.counts, **self.outbox.figures()}
        backlog = self.source.backlog()
        if backlog is not None:
            told["backlog_events"] = backlog
        if self.watermark > BEGIN:
            told["behind_seconds"] = self.clock() - self.watermark / 1e6
        return told

    def step(self) -> int:
        """Take the next events, and give how many were read.

        Raises:
            DataError: One is malformed and must not be, or nothing can be read.
            StoreError: The state cannot be written, or the online store for too long.
        """
        events = self._events()
        self.outbox.check()
        if not events:
            return 0
        taken = self.intake.take(events)
        self._count(taken, events)
        return taken.counts["read"]

    def run(self, stop: Callable[[], bool] = lambda: False, told: Callable[[Runner], None] | None = None) -> None:
        """Take events until they end, or until it is asked to stop, and write all rows.

        Args:
            stop: Whether to stop.
            told: Is called after each step.
        """
        while not stop() and not self.source.ended:
            self.step()
            if told is not None:
                told(self)
        self.finish()

    def finish(self) -> None:
        """Wait until all rows are written.

        Raises:
            StoreError: The online store cannot be reached for too long.
        """
        self.outbox.flush()
        self.state.commit([self.outbox.due([])])

    def close(self) -> None:
        """Let go of all that is open; rows that wait are written when it goes on."""
        for name in ("outbox", "source", "state"):
            if hasattr(self, name):
                getattr(self, name).close()

    # ------------------------------------------------------------------------------------------- inside

    def _events(self) -> list[Events]:
        """What comes within a while, as far as it is not too much."""
        end = time.monotonic() + self.stream.batch_seconds
        found: list[Events] = []
        rows = 0
        while rows < self.stream.batch_rows and not self.source.ended:
            left = end - time.monotonic()
            if found and left <= 0:
                break
            some = self.source.poll(self.stream.batch_rows - rows, max(left, 0.0))
            found += some
            rows += sum(one.rows.num_rows + len(one.malformed) for one in some)
            if not some and left <= 0:
                break
        return found

    def _count(self, taken: Taken, events: Sequence[Events]) -> None:
        watermark = self.watermark
        keys, state = self._updated(taken, watermark)
        values = self.counting.encode(state)
        gone = self._left_behind(set(keys), watermark)
        self.counts.update(taken.counts)
        self.counts["keys_left"] += len(gone)
        offsets = {**self._meta["offsets"], **{one.partition: one.offset for one in events}}
        self._meta = {**self._meta, "offsets": offsets, "newest": self.watermarks.newest, "counts": dict(self.counts)}
        changes: list[tuple[str, Sequence[bytes], Sequence[bytes]]] = [
            (KEYS, [*keys, *gone], [*values, *[b""] * len(gone)]),
            (META, [MAIN], [json.dumps(self._meta).encode()]),
        ]
        if self.seen is not None:
            self.seen.forget(watermark)
            changes.append(self.seen.changes())
        changes.append(self.outbox.due([*keys, *gone]))
        self.state.commit(changes)
        self.outbox.put(self._rows(keys, state, watermark), gone)

    def _left_behind(self, keys: Container[bytes], watermark: int) -> list[bytes]:
        """Of some keys, after those that were looked at last, those of which nothing is left: all are looked at in turn."""
        if self.counting.forever:
            return []
        found = self.state.scan(KEYS, self._swept, SWEPT)
        self._swept = found[-1][0] if len(found) == SWEPT else b""
        if not found:
            return []
        until = self.counting.until(self.counting.decode([value for _, value in found]))
        places = np.flatnonzero(until <= watermark).tolist()
        return [found[place][0] for place in places if found[place][0] not in keys]

    def _updated(self, taken: Taken, watermark: int) -> tuple[list[bytes], pa.RecordBatch]:
        """Keys of events, and what is kept of each after them."""
        column = taken.rows.column(self.key).dictionary_encode()
        keys = key_bytes(column.dictionary, self.key)
        state = self.counting.decode(self.state.get(KEYS, keys))
        events = Batch(np.asarray(column.indices, np.int64), taken.times, taken.rows, len(keys))
        return keys, self.counting.update(state, events, watermark)

    def _rows(self, keys: Sequence[bytes], state: pa.RecordBatch, watermark: int) -> pa.RecordBatch:
        """The rows of keys, as the online store takes them."""
        assert self.view.event_time is not None
        columns = {self.join_id: pa.array(keys, pa.binary()).cast(pa.string())}
        columns |= self.counting.rows(state, watermark)
        if self.view.event_time not in columns:
            columns[self.view.event_time] = self.counting.newest(state)
        return pa.record_batch(columns)

    def _rows_of(self, keys: Sequence[bytes]) -> tuple[pa.RecordBatch, list[bytes]]:
        """The rows of keys whose events were counted, and keys of which nothing is left."""
        held = dict(zip(keys, self.state.get(KEYS, keys), strict=True))
        there = [key for key in held if held[key] is not None]
        rows = self._rows(there, self.counting.decode([held[key] for key in there]), self.watermark)
        return rows, [key for key in held if held[key] is None]

    def _read(self, text: bytes | None) -> dict[str, Any]:
        """What the state says of the stream.

        Raises:
            StoreError: It is of other definitions, or of another version of this program.
        """
        counted = self.stream.model_dump(
            mode="json", include={"aggregates", "columns", "key", "where", "id", "event_time"}
        )
        begun: dict[str, Any] = {"offsets": {}, "newest": {}, "counts": {}}
        return read_meta(text, self.state.shown, "counted", counted, begun, f"view '{self.view.name}'", "count")
