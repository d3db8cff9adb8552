"""All that a model needs of a key: one question per entity, columns out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa

from easyrec.errors import DataError, StoreError, nearest
from easyrec.store import native
from easyrec.store.definitions import StoreConfig, View
from easyrec.store.head import Head
from easyrec.store.online import OnlineStore
from easyrec.store.writer import key_bytes

HITS, MISSES, EXPIRED = range(3)


@dataclass(frozen=True)
class ViewCounts:
    """How often a view had what was asked for.

    Attributes:
        hits: Keys with a row.
        misses: Keys without one.
        expired: Keys whose row was older than the ttl.
    """

    hits: int = 0
    misses: int = 0
    expired: int = 0


@dataclass(frozen=True)
class _Plan:
    """How the records of an entity become columns, for one head."""

    head: bytes | None
    reader: Any


class EntityReader:
    """Reads fields of the views of one entity.

    Args:
        store: Where records are.
        entity: Name of the entity.
        join_id: What its ids are called.
        columns: View and field of each column, by name.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        store: OnlineStore,
        entity: str,
        join_id: str,
        columns: Mapping[str, tuple[View, str]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store, self.entity, self.join_id, self.clock = store, entity, join_id, clock
        self.columns = dict(columns)
        self._views = list({view.name: view for view, _ in columns.values()}.values())
        self._plan = _Plan(None, self._made(Head()))
        self._counts, self._lock = np.zeros((len(self._views), 3), np.int64), Lock()

    def read(self, ids: Sequence[Any] | pa.Array) -> pa.RecordBatch:
        """The columns of some ids, in their order; null where there is no row that is young enough.

        Args:
            ids: Texts or whole numbers.

        Raises:
            DataError: An id is null, or of another type.
            StoreError: The store cannot be reached or is damaged.
        """
        return self.unpacked(ids, *self.store.read(self.entity, key_bytes(ids, self.join_id)))

    def unpacked(
        self, ids: Sequence[Any] | pa.Array, head: bytes | None, records: list[bytes | None]
    ) -> pa.RecordBatch:
        """The columns of some ids, of what the store knows of them.

        Raises:
            StoreError: It is damaged.
        """
        plan = self._plan
        if head != plan.head:
            plan = self._plan = _Plan(head, self._made(Head.of(head)))
        try:
            made, counts = plan.reader.read(records, int(self.clock() * 1e6))
        except ValueError as error:
            raise StoreError(
                f"{self.store.shown}, entity '{self.entity}'{self._damaged(plan, ids, records)}: {error}"
            ) from None
        with self._lock:
            self._counts += counts
        return pa.record_batch(made)

    def counts(self) -> dict[str, ViewCounts]:
        """Hits, misses and expired rows since this was made, by view."""
        with self._lock:
            return {view.name: ViewCounts(*row) for view, row in zip(self._views, self._counts.tolist(), strict=True)}

    @staticmethod
    def _damaged(plan: _Plan, ids: Sequence[Any], records: Sequence[bytes | None]) -> str:
        """The first id whose record cannot be read."""
        for one, record in zip(ids, records, strict=True):
            try:
                plan.reader.read([record], 0)
            except ValueError:  # noqa: PERF203 (looked for once something is wrong)
                return f", id '{str(one)[:100]}'"
        return ""

    def _made(self, head: Head) -> Any:
        names = list(self.columns)
        views = []
        for view in self._views:
            places = {field: names.index(name) for name, (of, field) in self.columns.items() if of.name == view.name}
            known = head.views.get(view.name)
            state = None if known is None else known.live
            schemas = []
            for number, fields in () if known is None else known.schemas.items():
                types = [kind for _, kind in fields]
                schemas.append((number, types, [self._place(view, places, *field) for field in fields]))
            slot = 0 if known is None else known.slot
            generations = [] if state is None else state.generations
            views.append((slot, generations, view.ttl_micros, schemas, list(places.values())))
        return native.Reader(names, [view.types[field] for view, field in self.columns.values()], views)

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

    Raises:
        StoreError: There is no such model.
    """

    def __init__(
        self, config: StoreConfig, store: OnlineStore, model: str, clock: Callable[[], float] = time.time
    ) -> None:
        try:
            columns = config.columns(config.model(model))
        except ValueError as error:
            raise StoreError(str(error)) from None
        self.store = store
        self.entities: dict[str, EntityReader] = {}
        for entity in config.entities:
            own = {name: place for name, place in columns.items() if place[0].entity == entity.name}
            if own:
                self.entities[entity.join_id] = EntityReader(store, entity.name, entity.join_id, own, clock)

    def read(self, ids: Mapping[str, Sequence[Any] | pa.Array]) -> dict[str, pa.RecordBatch]:
        """The columns of each entity that is asked for.

        Args:
            ids: By the entities' join ids: `{"user_id": [7], "item_id": [3, 5, 8]}`.

        Returns:
            By join id, a batch with a row for each id, in their order.

        Raises:
            DataError: An id is null or of another type, or the model reads nothing of such an entity.
            StoreError: The store cannot be reached or is damaged.
        """
        for name in ids:
            if name not in self.entities:
                known = list(self.entities)
                told = f"the model reads nothing by this id{nearest(name, known)}; known: {', '.join(known)}"
                raise DataError(told, column=name)
        readers = {name: self.entities[name] for name in ids}
        found = self.store.read_many({reader.entity: key_bytes(ids[name], name) for name, reader in readers.items()})
        return {name: reader.unpacked(ids[name], *found[reader.entity]) for name, reader in readers.items()}

    def counts(self) -> dict[str, ViewCounts]:
        """Hits, misses and expired rows since this was made, by view."""
        return {name: counts for reader in self.entities.values() for name, counts in reader.counts().items()}
