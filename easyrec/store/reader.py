"""All that a model needs of a key: one question per entity, columns out, defaults for what does not come in time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa

from easyrec.errors import DataError, StoreError, nearest
from easyrec.store import freshness, native
from easyrec.store.codec import read_type
from easyrec.store.definitions import StoreConfig, View
from easyrec.store.events import reading
from easyrec.store.head import Head, recent
from easyrec.store.near import NearStore
from easyrec.store.online import OnlineStore
from easyrec.store.read_log import ReadLog
from easyrec.store.record_cache import Found
from easyrec.store.timings import Times, Timings
from easyrec.store.writer import key_bytes

TOLD_S = 10.0
"""Seconds between two words in the log on reads that fail."""
_log = logging.getLogger("easyrec.store")


@dataclass(frozen=True)
class ViewCounts:
    """How often a view had what was asked for.

    Attributes:
        hits: Keys with a row.
        misses: Keys without one.
        expired: Keys whose row was older than the ttl.
        defaulted: Keys that were answered with defaults, as nothing came in time.
    """

    hits: int = 0
    misses: int = 0
    expired: int = 0
    defaulted: int = 0


@dataclass(frozen=True)
class ViewStats:
    """A view as a reader sees it.

    Attributes:
        entity: Whose.
        counts: How often it had what was asked for.
        times: Of reads of all views of the entity, which are one.
        generation: Its last one, as far as it was read; 0: none.
        newest: Latest event time of that generation, in seconds since 1970; None: it has none.
        age_s: Seconds since then.
    """

    entity: str
    counts: ViewCounts
    times: Times
    generation: int = 0
    newest: float | None = None
    age_s: float | None = None


class ReadColumns(dict[str, pa.RecordBatch]):
    """By join id, a batch with a row for each id, in their order.

    Args:
        batches: They.
        defaulted: Join ids of what has not come in time, and consists of defaults.
    """

    def __init__(self, batches: Mapping[str, pa.RecordBatch], defaulted: Collection[str] = ()) -> None:
        super().__init__(batches)
        self.defaulted = frozenset(defaulted)


@dataclass(frozen=True)
class _Plan:
    """How the records of an entity become columns, for one head."""

    head: bytes | None
    views: Head
    reader: Any


class EntityReader:
    """Reads fields of the views of one entity.

    Args:
        store: Where records are.
        entity: Name of the entity.
        join_id: What its ids are called.
        columns: View and field of each column, by name.
        clock: Seconds since 1970.
        log: Keeps some of the reads.
    """

    def __init__(
        self,
        store: NearStore,
        entity: str,
        join_id: str,
        columns: Mapping[str, tuple[View, str]],
        clock: Callable[[], float] = time.time,
        log: ReadLog | None = None,
    ) -> None:
        self.near, self.entity, self.join_id, self.clock, self.log = store, entity, join_id, clock, log
        self.columns = dict(columns)
        self._views = list({view.name: view for view, _ in columns.values()}.values())
        self._plan = _Plan(None, Head(), self._made(Head()))
        self._empty = pa.record_batch(self._plan.reader.read([], 0)[0])
        self._counts, self._lock = np.zeros((len(self._views), 4), np.int64), Lock()
        self._timings, self._told = Timings(), -TOLD_S
        self._written: dict[str, tuple[int, int]] = {}
        self._asked = float("-inf")

    def read(self, ids: Sequence[Any] | pa.Array) -> pa.RecordBatch:
        """The columns of some ids, in their order; null where there is no row that is young enough.

        Args:
            ids: Texts or whole numbers.

        Raises:
            DataError: An id is null, or of another type.
            StoreError: The store cannot be reached or is damaged.
        """
        begun, keys = time.perf_counter(), key_bytes(ids, self.join_id)
        return self.unpacked(keys, self.near.read(self.entity, keys), begun)

    def unpacked(self, keys: Sequence[bytes], found: Found, begun: float) -> pa.RecordBatch:
        """The columns of what the store knows of some keys.

        Args:
            keys: They.
            found: What it knows.
            begun: When the read began, by `time.perf_counter`.

        Raises:
            StoreError: It is damaged.
        """
        made = self._columns(keys, found)
        self._timings.add(time.perf_counter() - begun)
        return made

    def begin(self, ids: Sequence[Any] | pa.Array, seconds: float) -> Callable[[], tuple[pa.RecordBatch, bool]]:
        """Begin to read, and give what waits for it: the columns, and whether they are the defaults.

        Args:
            ids: As in `read`.
            seconds: After which, and where the store fails, the fields' defaults are given.

        Raises:
            DataError: As in `read`.
        """
        begun, keys = time.perf_counter(), key_bytes(ids, self.join_id)
        held = self.near.held(self.entity, keys)
        if held is not None:  # at once, while the store may be busy with other entities
            done = self._ended(lambda: held, keys, begun)
            return lambda: done
        wait = self.near.begin(self.entity, keys, seconds)
        return lambda: self._ended(wait, keys, begun)

    def _ended(self, wait: Callable[[], Found], keys: Sequence[bytes], begun: float) -> tuple[pa.RecordBatch, bool]:
        try:
            made, defaulted = self._columns(keys, wait()), False
        except StoreError as error:
            made, defaulted = self._defaults(len(keys)), True
            self._tell("'%s' is answered with defaults: %s", error)
        self._timings.add(time.perf_counter() - begun)
        return made, defaulted

    def prefetch(self, ids: Sequence[Any] | pa.Array) -> None:
        """Have what is known of some ids come into the cache, where the entity has one, and wait for nothing.

        Raises:
            DataError: As in `read`.
        """
        self.near.prefetch(self.entity, key_bytes(ids, self.join_id))

    def counts(self) -> dict[str, ViewCounts]:
        """What came of reads since this was made, by view."""
        with self._lock:
            return {view.name: ViewCounts(*row) for view, row in zip(self._views, self._counts.tolist(), strict=True)}

    def stats(self) -> dict[str, ViewStats]:
        """The views as they are read."""
        times, known, now = self._timings.times, self._plan.views.views, self.clock()
        written = self._since_written()
        made = {}
        for name, counts in self.counts().items():
            live = known[name].live if name in known else None
            latest = freshness.newest(self._plan.views, name, written)
            newest = None if latest is None else latest / 1e6
            age = None if newest is None else now - newest
            generation = 0 if live is None else live.generations[-1]
            made[name] = ViewStats(self.entity, counts, times, generation, newest, age)
        return made

    def _since_written(self) -> dict[str, tuple[int, int]]:
        """What is told of rows that were written one by one, as the store said it last: nobody waits for it here."""
        now = time.monotonic()
        if now - self._asked >= freshness.TOLD_S:
            self._asked = now
            self.near.aside(self._ask_written)
        return self._written

    def _ask_written(self) -> None:
        with suppress(StoreError):
            self._written = freshness.parsed(self.near.store.read(freshness.place_of(self.entity), [])[0])

    @property
    def schema(self) -> pa.Schema:
        """Of the columns."""
        return self._empty.schema

    @property
    def timings(self) -> Timings:
        """Of its reads."""
        return self._timings

    # ------------------------------------------------------------------------------------------- inside

    def _columns(self, keys: Sequence[bytes], found: Found) -> pa.RecordBatch:
        """What the records of keys hold."""
        head, records = found
        plan = self._plan
        if head != plan.head:
            views = Head.of(head)
            plan = self._plan = _Plan(head, views, self._made(views))
        now = int(self.clock() * 1e6)
        try:
            made, counts = plan.reader.read(records, now)
        except ValueError as error:
            shown = f"{self.near.store.shown}, entity '{self.entity}'"
            raise StoreError(f"{shown}{self._damaged(plan, keys, records)}: {error}") from None
        with self._lock:
            self._counts[:, :3] += counts
        rows = pa.record_batch(made)
        if self.log is not None:
            try:
                self.log.add(self.join_id, keys, now, rows)
            except StoreError as error:  # who is served needs no log
                self._tell("'%s' is read without a log: %s", error)
        return rows

    def _defaults(self, rows: int) -> pa.RecordBatch:
        """What is answered where nothing has come."""
        with self._lock:
            self._counts[:, 3] += rows
        columns = []
        for name, kind in zip(self._empty.schema.names, self._empty.schema.types, strict=True):
            view, field = self.columns[name]
            default = None if view.events is not None else view.field(field).default_value
            columns.append(pa.nulls(rows, kind) if default is None else pa.repeat(default, rows).cast(kind))
        return pa.RecordBatch.from_arrays(columns, schema=self._empty.schema)

    def _tell(self, text: str, error: StoreError) -> None:
        now = time.monotonic()
        if now - self._told >= TOLD_S:
            self._told = now
            _log.warning(text, self.entity, error)

    @staticmethod
    def _damaged(plan: _Plan, keys: Sequence[bytes], records: Sequence[bytes | None]) -> str:
        """The first id whose record cannot be read."""
        for key, record in zip(keys, records, strict=True):
            try:
                plan.reader.read([record], 0)
            except ValueError:  # noqa: PERF203 (looked for once something is wrong)
                return f", id '{key.decode(errors='replace')[:100]}'"
        return ""

    def versions(self) -> dict[str, str]:
        """Which model made the vectors that are read now, by embedding view; empty: nothing was published yet.

        Raises:
            StoreError: The store cannot be reached or is damaged.
        """
        head = Head.of(self.near.store.read(self.entity, [])[0])
        vectors = [view.name for view in self._views if view.type == "embedding"]
        states = {name: head.views[name].live if name in head.views else None for name in vectors}
        return {name: "" if state is None else state.version for name, state in states.items()}

    def _made(self, head: Head) -> Any:
        names = list(self.columns)
        views, events = [], {}
        for place, view in enumerate(self._views):
            places = {field: names.index(name) for name, (of, field) in self.columns.items() if of.name == view.name}
            known = head.views.get(view.name)
            state = None if known is None else known.live
            fields_of = {} if known is None else known.schemas
            schemas = []
            if view.events is not None:
                later = head.views.get(recent(view.name))
                span = (0, []) if later is None or later.live is None else (later.slot, later.live.generations)
                events[place] = reading(view, places, fields_of, span)
            else:
                for number, fields in fields_of.items():
                    types = [kind for _, kind in fields]
                    schemas.append((number, types, [self._place(view, places, *field) for field in fields]))
            slot = 0 if known is None else known.slot
            generations = [] if state is None else state.generations
            views.append((slot, generations, view.ttl_micros, schemas, list(places.values())))
        types = [read_type(view.types[field]) for view, field in self.columns.values()]
        return native.Reader(names, types, views, events)

    def _place(self, view: View, places: Mapping[str, int], field: str, kind: str) -> int:
        if field in places and view.types[field] != kind:
            told = f"field '{field}' of view '{view.name}' is {view.types[field]}, but rows that are there hold {kind}"
            raise StoreError(told)
        return places.get(field, -1)


class ModelReader:
    """Reads what a model needs.

    Args:
        config: What is defined.
        store: Where records are.
        model: Name of the model.
        clock: Seconds since 1970.
        only: Of the model's columns, those that are read; default: all.
        log: Keeps some of the reads, to be replayed; whoever made it closes it.

    Raises:
        StoreError: There is no such model.
    """

    def __init__(
        self,
        config: StoreConfig,
        store: OnlineStore | NearStore,
        model: str,
        clock: Callable[[], float] = time.time,
        log: ReadLog | None = None,
        *,
        only: Collection[str] | None = None,
    ) -> None:
        try:
            columns = config.columns(config.model(model))
        except ValueError as error:
            raise StoreError(str(error)) from None
        near = store if isinstance(store, NearStore) else NearStore(store)
        self.near, self.deadline_ms = near, config.read.deadline_ms
        self.entities: dict[str, EntityReader] = {}
        for entity in config.entities:
            own = {name: place for name, place in columns.items() if place[0].entity == entity.name}
            own = {name: place for name, place in own.items() if only is None or name in only}
            if own:
                self.entities[entity.join_id] = EntityReader(near, entity.name, entity.join_id, own, clock, log)

    def read(self, ids: Mapping[str, Sequence[Any] | pa.Array], *, deadline_ms: float | None = None) -> ReadColumns:
        """The columns of each entity that is asked for.

        Args:
            ids: By the entities' join ids: `{"user_id": [7], "item_id": [3, 5, 8]}`.
            deadline_ms: Milliseconds after which an entity that has not come is answered with its fields' defaults, as
                one is whose store fails; default: what `read.deadline_ms` says.

        Raises:
            DataError: An id is null or of another type, or the model reads nothing of such an entity.
            StoreError: There is no deadline, and the store cannot be reached or is damaged.
        """
        return self.begin(ids, deadline_ms=deadline_ms)()

    def begin(
        self, ids: Mapping[str, Sequence[Any] | pa.Array], *, deadline_ms: float | None = None
    ) -> Callable[[], ReadColumns]:
        """As `read`, of which the first half is done now where there is a deadline, and the other by what is given.

        Raises:
            DataError: As in `read`.
            StoreError: As there, by what is given.
        """
        readers = self._asked(ids)
        deadline_ms = self.deadline_ms if deadline_ms is None else deadline_ms
        if deadline_ms is None:
            begun, keys = time.perf_counter(), {name: key_bytes(some, name) for name, some in ids.items()}

            def whole() -> ReadColumns:
                found = self.near.read_many({readers[name].entity: some for name, some in keys.items()})
                return ReadColumns(
                    {
                        name: readers[name].unpacked(some, found[readers[name].entity], begun)
                        for name, some in keys.items()
                    }
                )

            return whole
        waits = {name: readers[name].begin(some, deadline_ms / 1000.0) for name, some in ids.items()}

        def result() -> ReadColumns:
            found = {name: wait() for name, wait in waits.items()}
            batches = {name: batch for name, (batch, _) in found.items()}
            return ReadColumns(batches, [name for name, (_, defaulted) in found.items() if defaulted])

        return result

    def prefetch(self, ids: Mapping[str, Sequence[Any] | pa.Array]) -> None:
        """Have what is known of some ids come into the caches, such as during recall, and wait for nothing.

        Raises:
            DataError: As in `read`.
        """
        readers = self._asked(ids)
        for name, some in ids.items():
            readers[name].prefetch(some)

    def counts(self) -> dict[str, ViewCounts]:
        """What came of reads since this was made, by view."""
        return {name: counts for reader in self.entities.values() for name, counts in reader.counts().items()}

    def stats(self) -> dict[str, ViewStats]:
        """The views as they are read."""
        return {name: stats for reader in self.entities.values() for name, stats in reader.stats().items()}

    def _asked(self, ids: Mapping[str, Any]) -> dict[str, EntityReader]:
        for name in ids:
            if name not in self.entities:
                known = list(self.entities)
                told = f"the model reads nothing by this id{nearest(name, known)}; known: {', '.join(known)}"
                raise DataError(told, column=name)
        return self.entities

    def versions(self) -> dict[str, str]:
        """Which model made the vectors that are read now, by embedding view; empty: nothing was published yet."""
        return {name: version for reader in self.entities.values() for name, version in reader.versions().items()}
