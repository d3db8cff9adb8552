"""`spark`: programs of Structured Streaming, for `spark-submit`.

A program is `_spark_program.py` with what it is told of: the events, and the statement that is asked of those that have come, of the
rows that the watermark has passed since it was asked before. The statement is that of batch mode, so its rows are the same.
"""

# ruff: noqa: S608 (statements are made of quoted names and of numbers)

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from easyrec.store.definitions import StoreConfig
from easyrec.store.samples import SampleConfig
from easyrec.store.streams import EventsConfig, StreamConfig
from easyrec.stream.continuous import FORGOTTEN, check_every, check_final
from easyrec.stream.dialects import TIME
from easyrec.stream.dialects.spark import Dialect
from easyrec.stream.joiner import EXPOSURE
from easyrec.stream.sample_sql import sample_sql
from easyrec.stream.view_sql import stream_view, view_sql

FILES_AT_ONCE = 100
"""Files of a micro-batch."""
EMPTY = 'json.loads("{}")'
"""What a program is told stands here."""


def sample_query(config: SampleConfig, tables: Mapping[str, str] | None = None) -> str:
    """A program that writes samples, each when its time has passed.

    Args:
        config: What is joined.
        tables: By `exposure` or a label's name, a table that holds the events, quoted.

    Raises:
        ConfigError: Events are not in files and no table is named, or samples are corrected.
    """
    check_final(config)
    named = dict(tables or {})
    kinds: dict[str, tuple[EventsConfig, list[str]]] = {
        EXPOSURE: (config.exposures, list(dict.fromkeys(config.keys))),
        **{label.name: (label, config.keys_of(label)) for label in config.labels},
    }
    events = {name: _told(name, one, needed, named.get(name)) for name, (one, needed) in kinds.items()}
    kept = {name: told["table"] for name, told in events.items()}
    wait = config.wait_micros
    statement = sample_sql(config, Dialect(), kept, between=(f":low - {wait}", f":high - {wait}"))
    return _program(config.name, events, statement, wait)


def view_query(config: StoreConfig, name: str, every: int, table: str | None = None) -> str:
    """A program that writes a view's rows at the end of each span in which a field changes.

    Args:
        config: What is defined.
        name: Of the view.
        every: The span, microseconds: whole seconds.
        table: A table that holds the events, quoted.

    Raises:
        ConfigError: There is no such stream view, or its events are in no files and no table is named.
    """
    check_every(every)
    view = stream_view(config, name)
    assert view.stream is not None
    key = view.stream.key or config.entity(view.entity).join_id
    events = {"events": _told("events", view.stream, [key], table)}
    kept = events["events"]["table"]
    statement = view_sql(config, name, Dialect(), every=every, table=kept, between=(":low", ":high"))
    return _program(name, events, statement, _kept(view.stream, every))


def _kept(stream: StreamConfig, every: int) -> int | None:
    """Microseconds after which an event is in no row any more; None: never."""
    longest = 0
    for one in stream.aggregates:
        if one.half_life is not None:
            longest = max(longest, round(FORGOTTEN * one.half_life * 1e6))
        elif one.window is None or one.window.gap is not None:
            return None
        else:
            longest = max(longest, one.window.size_micros + 2 * one.window.hop_micros)
    return longest + every


def _told(kind: str, events: EventsConfig, needed: list[str], table: str | None) -> dict[str, Any]:
    """What a program is told of events of a kind."""
    sql = Dialect()
    names = [sql.quoted(name) for name in events.columns]
    kept = f"{kind}_events"
    rows = sql.events(events, needed, sql.quoted(f"{kept}_in"), once=False)
    source: Any = events.source
    if table is None:
        sql.files(events)  # raises where the source is none
        read = {"format": {"jsonl": "json"}.get(source.type, source.type), "path": source.path}
    else:
        read = {"format": "table", "path": table}
    return {
        **read,
        "table": kept,
        "schema": ", ".join(f"{sql.quoted(name)} {sql.kind(text)}" for name, text in events.columns.items()),
        "select": f"SELECT {TIME}, struct({', '.join(names)}) AS {sql.quoted(kind)} FROM ({rows}) AS __rows",
        "lateness": round(events.lateness * 1e6),
    }


def _program(name: str, events: Mapping[str, Any], statement: str, keep: int | None) -> str:
    told = {"name": name, "events": events, "statement": statement, "keep": keep, "files": FILES_AT_ONCE}
    text = Path(__file__).with_name("_spark_program.py").read_text(encoding="utf-8")
    return text.replace(EMPTY, f"json.loads({json.dumps(told)!r})", 1)
