"""Events of a view of sequences: packed by key to be written, and what the compiled reader is told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from easyrec.errors import DataError, StoreError
from easyrec.store import native
from easyrec.store.behaviour import AGE, is_apart
from easyrec.store.codec import field_of, micros
from easyrec.store.definitions import View


def pack_events(
    view: View, rows: pa.RecordBatch, keys: Sequence[bytes], schema: int
) -> tuple[list[bytes], list[bytes], int | None]:
    """The events of each key as one row of a record. Events that no sequence takes are left out.

    Args:
        view: Of sequences.
        rows: Hold the fields and the event time.
        keys: Of each row.
        schema: Number of the fields' types among those of the view.

    Returns:
        Keys, no one twice; a row for each; and the latest time.

    Raises:
        DataError: A column is missing or does not fit, or an event has no name, item or time.
    """
    assert view.events is not None
    assert view.event_time is not None
    events, held = view.events, view.held
    times = micros(rows, view.event_time)
    columns = [] if events.name is None else [_whole(rows, events.name, held)]
    item = _whole(rows, events.item, held)
    columns.append(item.cast(pa.int64()) if pa.types.is_integer(item.type) else item)
    others = {field: kind for field, kind in view.stored.items() if not is_apart(kind)}
    columns += [field_of(rows, field, kind) for field, kind in others.items()]
    groups = pa.array(keys, pa.binary()).dictionary_encode()
    places = groups.indices.cast(pa.int64())
    if events.name is not None:
        taken = pc.is_in(columns[0], pa.array(events.names, pa.string()))
        if not pc.all(taken).as_py():
            columns = [column.filter(taken) for column in columns]
            times, places = times[np.asarray(taken)], places.filter(taken)
    batch = pa.RecordBatch.from_arrays(columns, [str(place) for place in range(len(columns))])
    try:
        packed = native.pack_events(
            *(list(others.values()), schema, batch, events.name is not None),
            *(np.ascontiguousarray(times), np.asarray(places), len(groups.dictionary), events.keep),
        )
    except ValueError as error:
        raise DataError(str(error)) from None
    made = [(key, row) for key, row in zip(groups.dictionary.to_pylist(), packed, strict=True) if row]
    latest = int(times.max()) if len(times) else None
    return [key for key, _ in made], [row for _, row in made], latest


def _whole(rows: pa.RecordBatch, name: str, held: Mapping[str, str]) -> pa.Array:
    column = field_of(rows, name, held[name])
    if column.null_count:
        raise DataError("an event needs a value here", column=name, row=pc.index(column.is_null(), True).as_py())
    return column


def reading(
    view: View,
    places: Mapping[str, int],
    schemas: Mapping[int, Sequence[tuple[str, str]]],
    recent: tuple[int, list[int]] = (0, []),
) -> tuple[Any, ...]:
    """What the compiled reader is told of the sequences of a view.

    Args:
        view: Of sequences.
        places: Number of each column that is asked for, by its name in the view.
        schemas: Fields that events may have, by the number that they say.
        recent: Slot and generations of the events that came one by one.

    Raises:
        StoreError: Events that are there have other types than the view says.
    """
    assert view.events is not None
    assert view.event_time is not None
    events, stored = view.events, view.stored
    for fields in schemas.values():
        for field, kind in fields:
            if stored.get(field, kind) != kind:
                told = (
                    f"field '{field}' of view '{view.name}' is {stored[field]}, but events that are there hold {kind}"
                )
                raise StoreError(told)
    layouts = {number: [field for field in fields if not is_apart(field[1])] for number, fields in schemas.items()}
    plays = [next((i for i, (name, _) in enumerate(f) if name == events.play_time), -1) for f in layouts.values()]
    sequences = []
    for sequence in events.sequences:
        own = {field: places.get(f"{sequence.name}__{field}", -1) for field in [*view.held, view.event_time, AGE]}
        first = [own[events.item], own.get(events.name or "", -1), own[view.event_time], own[AGE]]
        if max(own.values()) < 0:
            continue
        others = [own[field] for field, kind in stored.items() if not is_apart(kind) and own[field] >= 0]
        ttl = min((ttl for ttl in (sequence.ttl, view.ttl) if ttl is not None), default=0.0)
        names = [(name, sequence.min_play_time.get(name)) for name in sequence.events]
        made = [
            (number, [kind for _, kind in fields], [own.get(field, -1) for field, _ in fields])
            for number, fields in layouts.items()
        ]
        sequences.append((names, sequence.length, round(ttl * 1e6), sequence.distinct, first, others, made))
    return (*recent, events.keep, view.held[events.item], plays, sequences)
