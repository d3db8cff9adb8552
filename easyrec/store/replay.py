"""Sequences of training sets: the events of a key come one by one, as they became known, and are read at each moment.

duckdb sorts events and moments by key and time, on disk where they do not fit, and the compiled reader of the online store
goes through them: what it gives is what would have been served.
"""

# ruff: noqa: S608 (statements are made of quoted names and of numbers)

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from easyrec.store import native
from easyrec.store.behaviour import is_apart
from easyrec.store.codec import arrow_type, field_of
from easyrec.store.definitions import View
from easyrec.store.duck import quoted, text
from easyrec.store.events import reading

AT_ONCE = 65_536
"""Events and moments that are gone through at a time."""
SCHEMA = 1
MOMENT = "__row"


def replayed(
    db: Any,
    view: View,
    into: str,
    columns: Sequence[str],
    events: str,
    moments: str,
) -> None:
    """Make a table with a row for each moment: its number `__row`, and the columns as they are then.

    Args:
        db: A connection of duckdb.
        view: Of sequences.
        into: Name of the table.
        columns: Of the view.
        events: A query of `__key`, `__when`, `__known` (since when), `__place` in the table, and the fields.
        moments: A query of `__key`, `__when` and `__row`.
    """
    assert view.events is not None
    known = [view.events.name] if view.events.name is not None else []
    fields = [*known, view.events.item, *(field for field, kind in view.stored.items() if not is_apart(kind))]
    wanted = [f"__f{place}" for place in range(len(fields))]
    shown = ", ".join(f"{quoted(field)} AS {name}" for field, name in zip(fields, wanted, strict=True))
    where = [f"{quoted(field)} IS NOT NULL" for field in (*known, view.events.item)]
    if known:
        where.append(f"{quoted(known[0])} IN ({', '.join(map(text, view.events.names))})")
    query = f"""
        SELECT __key, __row, __when, {", ".join(wanted)} FROM (
            SELECT __key, NULL::BIGINT AS __row, __when, __known, __place, {shown} FROM ({events})
            WHERE {" AND ".join(where)} AND __key IN (SELECT __key FROM ({moments}))
            UNION ALL BY NAME SELECT *, __when AS __known FROM ({moments}) WHERE __key IS NOT NULL
        ) ORDER BY __key, __known, __row NULLS FIRST, __place"""  # at a moment is known what became known at it
    result = db.sql(query).to_arrow_reader(AT_ONCE)
    made = pa.RecordBatchReader.from_batches(_schema(view, columns), _rows(view, columns, fields, result))
    other = db.cursor()  # while the first one is read
    other.register("replayed", made)
    other.execute(f"CREATE OR REPLACE TABLE {quoted(into)} AS SELECT * FROM replayed")
    other.close()


def _schema(view: View, columns: Sequence[str]) -> pa.Schema:
    return pa.schema([*((name, arrow_type(view.types[name])) for name in columns), (MOMENT, pa.int64())])


def _rows(view: View, columns: Sequence[str], fields: Sequence[str], result: Any) -> Iterator[pa.RecordBatch]:
    assert view.events is not None
    places = {name: place for place, name in enumerate(columns)}
    told = reading(view, places, {SCHEMA: list(view.stored.items())})
    others = [view.held[field] for field in fields[1 if view.events.name is None else 2 :]]
    replay = native.Replay(
        [*columns, MOMENT], [view.types[name] for name in columns], others, view.events.name is not None, told
    )
    for batch in result:
        yield pa.record_batch(replay.feed(_typed(batch, view, fields)))


def _typed(batch: pa.RecordBatch, view: View, fields: Sequence[str]) -> pa.RecordBatch:
    assert view.events is not None
    held: Mapping[str, str] = view.held
    kinds = {"__key": "string", MOMENT: "int64", "__when": "int64"}
    for place, field in enumerate(fields):
        kinds[f"__f{place}"] = "int64" if held[field] == "int32" and field == view.events.item else held[field]
    return pa.RecordBatch.from_arrays([field_of(batch, name, kind) for name, kind in kinds.items()], list(kinds))
