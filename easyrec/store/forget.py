"""Takes all that is known of some ids from an online store: every view, every generation, events that came one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from easyrec.errors import StoreError
from easyrec.store.definitions import StoreConfig, View
from easyrec.store.head import Head
from easyrec.store.online import OnlineStore
from easyrec.store.writer import key_bytes


@dataclass(frozen=True)
class Forgotten:
    """What was taken from an online store.

    Attributes:
        records: How many ids it knew, by entity.
        writing: Views that are being written meanwhile, by rows that may hold the ids.
    """

    records: dict[str, int]
    writing: list[str]


def forget(config: StoreConfig, store: OnlineStore, join_id: str, ids: Sequence[Any]) -> Forgotten:
    """Take the records of some ids from the store. Processes that follow its changes see it as they see others.

    Args:
        config: What is defined.
        store: The store.
        join_id: What the ids are called.
        ids: Texts or whole numbers.

    Raises:
        DataError: An id is null or empty.
        StoreError: No entity has such ids, or the store cannot be reached.
    """
    keys = list(dict.fromkeys(key_bytes(list(ids), join_id)))
    records: dict[str, int] = {}
    writing: list[str] = []
    for entity in entities_of(config, join_id):
        head, found = store.read(entity, keys)
        records[entity] = sum(record is not None for record in found)
        store.sweep(entity, keys, [])  # nothing of these records counts
        if any(record is not None for record in store.read(entity, keys)[1]):
            raise StoreError(f"{store.shown}: others write rows of these ids: stop them, and forget again")
        writing += [name for name, known in Head.of(head).views.items() if known.writing is not None]
    return Forgotten(records, writing)


def entities_of(config: StoreConfig, join_id: str) -> list[str]:
    """The entities whose ids are called so.

    Raises:
        StoreError: There is none.
    """
    found = [entity.name for entity in config.entities if entity.join_id == join_id]
    if not found:
        known = ", ".join(dict.fromkeys(entity.join_id for entity in config.entities))
        raise StoreError(f"no entity has the id '{join_id}'; known: {known}")
    return found


def elsewhere(config: StoreConfig, join_id: str) -> dict[str, str]:
    """What may hold the ids beside the online store and the states of streams, and is others' to mend: path by what it is."""
    made: dict[str, str] = {}
    entities = entities_of(config, join_id)
    for view in config.views:
        if view.entity in entities:
            made |= _of_view(view)
    for label in config.labels:
        if join_id in label.columns:
            made[f"label table '{label.name}'"] = _path(label.source)
    for one in config.samples:
        events = {"exposures": one.exposures, **{label.name: label for label in one.labels}}
        for name, told in events.items():
            if join_id in told.columns:
                made[f"{name} of samples '{one.name}'"] = _path(told.source)
            if told.dead_letters is not None:
                made[f"dead letters of {name} of samples '{one.name}'"] = told.dead_letters
        if join_id in one.exposures.columns:
            made[f"samples '{one.name}', with those that wait in their state"] = _path(one.output)
    return made


def _of_view(view: View) -> dict[str, str]:
    made: dict[str, str] = {}
    if view.source is not None:
        made[f"source of view '{view.name}'"] = _path(view.source)
    if view.stream is not None:
        made[f"events of view '{view.name}'"] = _path(view.stream.source)
        if view.stream.dead_letters is not None:
            made[f"dead letters of view '{view.name}'"] = view.stream.dead_letters
    if view.quarantine is not None:
        made[f"quarantine of view '{view.name}'"] = view.quarantine.path
    return made


def _path(source: Any) -> str:
    for key in ("path", "table", "topic", "stream"):
        found = getattr(source, key, None)
        if isinstance(found, str):
            return found
    return str(source.type)
