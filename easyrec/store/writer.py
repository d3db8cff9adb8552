"""Rows into an online store: a new generation that readers see whole or not at all, or single rows as they come."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from easyrec.errors import DataError, StoreError
from easyrec.store import native
from easyrec.store.codec import column_of, micros, pack
from easyrec.store.definitions import StoreConfig, View
from easyrec.store.events import pack_events
from easyrec.store.freshness import Freshness
from easyrec.store.head import Head, Known, State, Writing, recent
from easyrec.store.online import OnlineStore, intact
from easyrec.store.progress import Progress, Pulse, progress_of
from easyrec.store.quality.checks import Checked
from easyrec.store.quality.gate import Gate

AT_ONCE = 8192
"""Rows that are written at a time."""
EVENTS_AT_ONCE = 65_536
"""Events that are written at a time: those of a key together cost as much as one."""
CHECKED = 1000
"""Rows that are read again before a generation is switched to."""
TRIES = 50
"""How often a head is written anew because somebody else changed it meanwhile."""
PIECES_A_SECOND = 4
"""Where the rate is limited, rows are written in so many parts."""


@dataclass(frozen=True)
class Published:
    """A generation that readers see.

    Attributes:
        view: Name of the view.
        generation: Its number.
        rows: Rows that were written for it.
        newest: Latest event time, microseconds since 1970.
        seconds: What it took.
        resumed: Rows of the input that a writer had written which was stopped.
        checked: What its rows were looked at for; None: nothing is expected of them.
    """

    view: str
    generation: int
    rows: int
    newest: int | None
    seconds: float
    resumed: int = 0
    checked: Checked | None = None


class Writer:
    """Writes the views of a project.

    Args:
        config: What is defined.
        store: Where rows go.
        clock: Seconds since 1970.
        wait: Lets so many seconds pass.
    """

    def __init__(
        self,
        config: StoreConfig,
        store: OnlineStore,
        clock: Callable[[], float] = time.time,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.config, self.store, self.clock, self.wait = config, store, clock, wait
        self._freshness = Freshness(store, clock)

    def publish(
        self,
        name: str,
        batches: Iterable[pa.RecordBatch],
        *,
        merge: bool = False,
        source: str = "",
        rows_per_second: float | None = None,
        version: str = "",
    ) -> Published:
        """Write a generation of a view, verify it, and switch to it.

        Until then readers see the former one; where this is stopped, or fails, they see it for ever. Of several rows of a
        key the one with the latest event time counts, without event times the last.

        Args:
            name: Of the view.
            batches: Hold the join id, the fields and the event time.
            merge: Let keys that do not come stay as they are; else they are gone.
            source: Tells these rows, in this order, from all others: a digest, a day. Where the last writer of the view
                was stopped while it wrote the same, its rows are looked at, and not written again.
            rows_per_second: How fast at most; default: as fast as it goes.
            version: Of an embedding view, which model made the vectors.

        Raises:
            DataError: A column is missing or does not fit, or the rows are not what the view expects.
            StoreError: The store cannot be reached, another writer has begun after this one, or what was written is not
                what is read.
        """
        begun, view = self.clock(), self._view(name)
        entity, token = view.entity, secrets.token_hex(8)

        def begin(head: Head) -> Head:
            head, schema = head.registered(view)
            known = head.views[name]
            _check_version(view, version, known.live if merge else None)
            told, left = (merge, source, schema), known.writing
            if left is not None and source and (left.merge, left.source, left.schema) == told:
                return head.changed(name, replace(known, writing=replace(left, token=token)))
            writing = Writing(known.last + 1, token, begun, *told)
            return head.changed(name, replace(known, last=writing.generation, writing=writing))

        known = self._change(entity, begin).views[name]
        writing = known.writing
        assert writing is not None
        done = progress_of(self.store, entity, name, writing).rows
        me = f"{socket.gethostname()}-{os.getpid()}"
        pulse = Pulse(self.store, entity, name, Progress(writing.generation, me, begun, done), self.clock)
        gate = Gate(self.config, view, clock=self.clock) if view.expect else None
        put = _Put(_Sample(of_events=view.events is not None))
        try:
            passing = batches if gate is None else gate.passing(batches)
            for seen in self._put(view, known, passing, put, done, rows_per_second, gate):
                pulse.beat(max(seen, done))
        except BaseException:
            pulse.stop()
            raise
        self._check_own(Head.of(self.store.read(entity, [])[0]), name, token)
        try:
            if put.seen < done:
                told = f"of {done:,} rows that a stopped writer wrote of '{source}' {put.seen:,} came"
                raise StoreError(f"view '{name}': {told}")
            self._verify(view, known, writing.generation, put.sample)
        except StoreError:  # what lies there is not what was written, by whomever: nobody goes on with it
            self._change(entity, lambda head: self._anew(head, name, token))
            raise
        before = known.live.generations if merge and known.live is not None else []
        state = State([*before, writing.generation], put.rows, self.clock(), put.newest, version)

        def switch(head: Head) -> Head:
            self._check_own(head, name, token)
            return head.changed(name, replace(head.views[name], live=state, former=head.views[name].live, writing=None))

        self._change(entity, switch)
        found, resumed = None if gate is None else gate.checked, min(done, put.seen)
        return Published(name, writing.generation, put.rows, put.newest, self.clock() - begun, resumed, found)

    def rollback(self, name: str) -> State:
        """Return to the generation before the last one, once; gives what is read now.

        The next one, where it is being written, is never switched to: its writer ends with an error.

        Raises:
            StoreError: There is none.
        """

        def back(head: Head) -> Head:
            known = head.views.get(name)
            if known is None or known.former is None:
                raise StoreError(f"view '{name}' has no former generation to return to")
            return head.changed(name, replace(known, live=known.former, former=None, writing=None))

        live = self._change(self._view(name).entity, back).views[name].live
        assert live is not None
        return live

    def write(self, name: str, rows: pa.RecordBatch, *, version: str = "") -> int:
        """Put rows into what readers see now; a row that is older than what is there changes nothing.

        Events join those that are there, and stay beside what is published later.

        Args:
            name: Of the view.
            rows: Hold the join id, the fields and the event time.
            version: Of an embedding view, which model made the vectors.

        Returns:
            Rows that were taken, of several with one key the latest; keys, where rows are events.

        Raises:
            DataError: A column is missing or does not fit.
            StoreError: The store cannot be reached.
        """
        view, schema = self._view(name), 0

        def begin(head: Head) -> Head:
            nonlocal schema
            head, schema = head.registered(view)
            if view.events is not None:
                return head.with_recent(view, self.clock())
            known = head.views[name]
            _check_version(view, version, known.live)
            if known.live is None:
                live = State([known.last + 1], 0, self.clock(), version=version)
                known = replace(known, last=known.last + 1, live=live)
            return head.changed(name, known)

        views = self._change(view.entity, begin).views
        known = views[name if view.events is None else recent(name)]
        assert known.live is not None
        taken = 0
        for batch in _pieces([rows], _at_once(view)):
            keys, packed, latest = self._packed(view, batch, schema)
            self.store.splice(view.entity, known.slot, known.live.generations[-1], keys, packed, known.spans)
            taken += len(keys)
            if latest is not None:
                self._freshness.wrote(view.entity, name, known.live.generations[-1], latest)
        return taken

    def tell(self, name: str) -> None:
        """Tell how new the rows of a view are that were written; else that is told every few seconds."""
        self._freshness.tell(self._view(name).entity)

    def remove(self, name: str, ids: Sequence[Any] | pa.Array) -> None:
        """Take the rows of some keys from what readers see now.

        Args:
            name: Of the view.
            ids: Texts or whole numbers, none twice.

        Raises:
            DataError: An id is null, or of another type.
            StoreError: The store cannot be reached.
        """
        view = self._view(name)
        known = Head.of(self.store.read(view.entity, [])[0]).views.get(name)
        if known is None or known.live is None:
            return
        keys = key_bytes(ids, self.config.entity(view.entity).join_id)
        generation = known.live.generations[-1]
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            self.store.splice(view.entity, known.slot, generation, some, [b""] * len(some), known.spans)

    def sweep(self, entity: str) -> int:
        """Take what nobody reads from the records of an entity, and give the number of keys that were looked at.

        What a writer left that has given no sign for `SILENT_S` goes too, and is not gone on with.
        """
        seen = 0
        self._change(entity, lambda head: self._without_dead(entity, head))
        for found in self.store.scan(entity):
            head = Head.of(self.store.read(entity, [])[0])
            live = head.spans + [
                (known.slot, [known.writing.generation]) for known in head.views.values() if known.writing
            ]
            self.store.sweep(entity, [key for key, _ in found], live)
            seen += len(found)
        return seen

    # ------------------------------------------------------------------------------------------- inside

    def _view(self, name: str) -> View:
        try:
            return self.config.view(name)
        except ValueError as error:
            raise StoreError(str(error)) from None

    def _change(self, entity: str, change: Callable[[Head], Head]) -> Head:
        """Change a head, whoever else changes it at the same time."""
        for _ in range(TRIES):
            old = self.store.read(entity, [])[0]
            head = change(Head.of(old))
            new = head.text()
            if new == old or self.store.set_head(entity, new, old):
                return head
        raise StoreError(f"{self.store.shown}: others change what it says of '{entity}' all the time")

    def _packed(self, view: View, batch: pa.RecordBatch, schema: int) -> tuple[list[bytes], list[bytes], int | None]:
        """Keys, rows and the latest time of a batch; of several rows with one key the one that counts."""
        join_id = self.config.entity(view.entity).join_id
        keys = key_bytes(column_of(batch, join_id), join_id)
        if view.events is not None:
            return pack_events(view, batch, keys, schema)
        times = None if view.event_time is None else micros(batch, view.event_time)
        packed = pack(batch, view.held, schema, times)
        latest = None if times is None or not len(times) else int(times.max())
        if len(set(keys)) == len(keys):
            return keys, packed, latest
        order: Sequence[int] = range(len(keys)) if times is None else np.argsort(times, kind="stable").tolist()
        last = {keys[row]: row for row in order}
        return list(last), [packed[row] for row in last.values()], latest

    def _put(
        self,
        view: View,
        known: Known,
        batches: Iterable[pa.RecordBatch],
        put: _Put,
        done: int,
        rows_per_second: float | None,
        gate: Gate | None,
    ) -> Iterator[int]:
        """Write the rows of a generation behind the first `done`; tells after each piece how many have come."""
        assert known.writing is not None
        at_once, due, fence = _at_once(view), self.clock(), known.writing.token.encode()
        if rows_per_second is not None:
            at_once = min(at_once, max(1, int(rows_per_second / PIECES_A_SECOND)))
        for batch in _pieces(batches, at_once):
            try:
                keys, packed, latest = self._packed(view, batch, known.writing.schema)
            except DataError as error:
                raise _of_input(error, None if gate is not None and gate.set_aside else put.seen) from None
            put.add(keys, packed, latest, batch.num_rows)
            if put.seen > done:
                self.store.splice(view.entity, known.slot, known.writing.generation, keys, packed, known.spans, fence)
                if rows_per_second is not None:
                    due = max(due, self.clock()) + batch.num_rows / rows_per_second
                    self.wait(max(0.0, due - self.clock()))
            yield put.seen

    @staticmethod
    def _check_own(head: Head, name: str, token: str) -> None:
        writing = head.views[name].writing
        if writing is None or writing.token != token:
            told = "another writer has begun after this one, or it was taken for dead: nothing is switched"
            raise StoreError(f"view '{name}': {told}")

    @staticmethod
    def _anew(head: Head, name: str, token: str) -> Head:
        """The head that lets nobody go on with what a writer has written."""
        known = head.views[name]
        if known.writing is None or known.writing.token != token:
            return head
        return head.changed(name, replace(known, writing=replace(known.writing, source="")))

    def _without_dead(self, entity: str, head: Head) -> Head:
        """The head without the writers that give no sign any more."""
        for name, known in head.views.items():
            if known.writing and not progress_of(self.store, entity, name, known.writing).alive(self.clock()):
                head = head.changed(name, replace(known, writing=None))
        return head

    def _verify(self, view: View, known: Known, generation: int, sample: _Sample) -> None:
        records = self.store.read(view.entity, list(sample.rows))[1]
        with intact(self.store.shown, view.entity, list(sample.rows), records):
            found = native.newest(list(records), known.slot, [generation])
        for (key, row), there in zip(sample.rows.items(), found, strict=True):
            held = row if view.events is None or there is None else native.joined(row, there)
            if there != held:  # events are among those that are there
                shown = key.decode(errors="replace")[:100]
                what = "is not there" if there is None else "is another one"
                raise StoreError(
                    f"{self.store.shown}: the row of '{shown}' in view '{view.name}' {what} after it was written"
                )


class _Sample:
    """Some of the rows that were written, spread over all of them: the latest of each key."""

    def __init__(self, *, of_events: bool) -> None:
        self.rows: dict[bytes, bytes] = {}
        self._of_events = of_events
        self._rng = np.random.default_rng(0)
        self._seen = 0

    def add(self, keys: Sequence[bytes], rows: Sequence[bytes]) -> None:
        if not keys:
            return  # of events none that counts
        for key, row in zip(keys, rows, strict=True):
            if key in self.rows and (self._of_events or _time(row) >= _time(self.rows[key])):
                self.rows[key] = native.joined(self.rows[key], row) if self._of_events else row
        self._seen += len(keys)
        wanted = max(1, round(CHECKED * len(keys) / self._seen))
        for place in self._rng.permutation(len(keys))[:wanted].tolist():
            if keys[place] not in self.rows:
                if len(self.rows) >= CHECKED:
                    self.rows.pop(next(iter(self.rows)))
                self.rows[keys[place]] = rows[place]


@dataclass
class _Put:
    """What came of the rows of a generation.

    Attributes:
        sample: Of the rows that were written.
        rows: That count.
        seen: Of the input.
        newest: Latest event time, microseconds since 1970.
    """

    sample: _Sample
    rows: int = 0
    seen: int = 0
    newest: int | None = None

    def add(self, keys: Sequence[bytes], packed: Sequence[bytes], latest: int | None, seen: int) -> None:
        """Count a piece."""
        self.rows += len(keys)
        self.seen += seen
        self.newest = latest if self.newest is None else max(self.newest, latest if latest is not None else self.newest)
        self.sample.add(keys, packed)


def _check_version(view: View, version: str, live: State | None) -> None:
    """Vectors of two models cannot be compared, so a view never holds both."""
    if view.type != "embedding":
        if version:
            raise StoreError(f"view '{view.name}' is of type {view.type}: vectors of an embedding view have a version")
        return
    if not version:
        raise StoreError(f"view '{view.name}' holds vectors: say which model made them as their version")
    if live is not None and live.version != version:
        raise StoreError(
            f"view '{view.name}' holds vectors of version '{live.version}', with which those of '{version}' cannot be "
            "compared: publish all of them anew"
        )


def _time(row: bytes) -> int:
    return int.from_bytes(row[2:10], "little", signed=True)


def _of_input(error: DataError, before: int | None) -> DataError:
    """The error of a row of a piece as that of a row of all rows; None: nobody knows how many came before."""
    row = None if error.row is None or before is None else before + error.row
    return DataError(error.reason, column=error.column, row=row, file=error.file, line=error.line)


def _at_once(view: View) -> int:
    return AT_ONCE if view.events is None else EVENTS_AT_ONCE


def _pieces(batches: Iterable[pa.RecordBatch], at_once: int) -> Iterable[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, batch.num_rows, at_once):
            yield batch.slice(start, at_once)


def key_bytes(values: Any, name: str = "") -> list[bytes]:
    """Keys as stores know them: the text of an id, so that 7 and "7" are the same.

    Args:
        values: An Arrow array, or a sequence of ids.
        name: What they are called, for errors.

    Raises:
        DataError: One is null or empty, or they are neither texts nor whole numbers.
    """
    if isinstance(values, list):
        made = _plain_keys(values)
        if made is not None:
            return made
    column = values if isinstance(values, pa.Array) else pa.array(values)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_null(column.type):  # nothing was asked for, or nothing but nulls
        column = column.cast(pa.string())
    if pa.types.is_integer(column.type):
        if not column.null_count:
            return [b"%d" % value for value in column.to_pylist()]
        column = column.cast(pa.string())
    elif not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise DataError(f"ids are texts or whole numbers, but these are {column.type}", column=name)
    if column.null_count or pc.any(pc.equal(column, "")).as_py():
        empty = pc.or_kleene(pc.is_null(column), pc.equal(column, ""))
        raise DataError("an id is null or empty", column=name, row=pc.index(empty, True).as_py())
    texts: list[bytes] = column.cast(pa.binary()).to_pylist()
    return texts


def _plain_keys(values: list[Any]) -> list[bytes] | None:
    """The same of nothing but whole numbers or texts of Python, which is faster than by a column; else None."""
    kinds = set(map(type, values))
    if kinds == {int}:
        return [b"%d" % value for value in values]
    if kinds == {str} and "" not in values:
        with contextlib.suppress(UnicodeEncodeError):
            return [value.encode() for value in values]
    return None
