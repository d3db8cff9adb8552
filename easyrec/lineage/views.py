"""The views of a store: which columns of which tables their fields are made of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from easyrec.errors import ConfigError, DataError, MissingExtra
from easyrec.lineage.graph import Edge, Graph, Node
from easyrec.lineage.query import Read, reads_of
from easyrec.store.definitions import StoreConfig, View
from easyrec.store.offline.sql import Config as SqlConfig

NAMES = ("path", "paths", "name", "table", "topic")
"""Keys of a source that say what people call it; others may hold secrets."""
TAIL = re.compile(r"(/\*\*)?(/\*(\.\w+)?)?/?$|\.(parquet|csv|tsv|jsonl)$")


@dataclass(frozen=True)
class Tables:
    """The tables that a view reads, by the names that its query gives them.

    Attributes:
        named: Each table's source.
        columns: Its columns, in their own spelling, where they are known.
    """

    named: Mapping[str, Any]
    columns: Mapping[str, Sequence[str]]


def table_of(source: Any) -> str:
    """What people call the table of a source, which is a config or its keys."""
    keys = source if isinstance(source, Mapping) else source.model_dump()
    for name in NAMES:
        if keys.get(name):
            value = keys[name]
            return ", ".join(
                TAIL.sub("", str(one)) or str(one) for one in (value if isinstance(value, list) else [value])
            )
    return str(keys.get("type", "table"))


def add_views(graph: Graph, config: StoreConfig) -> None:
    """Add the fields of all views, and the columns that they are made of.

    Raises:
        ConfigError: A query cannot be parsed, or gives no column of a field's name.
        MissingExtra: A view has a query, and sqlglot is not installed.
    """
    for view in config.views:
        for name, kind in view.types.items():
            described = next((field.description for field in view.fields if field.name == name), "")
            told = {"type": kind, "entity": view.entity, "owner": view.owner, "tags": ", ".join(view.tags)}
            told["description"] = described or view.description
            graph.add(Node("field", view.name, name, {key: value for key, value in told.items() if value}))
        for name, reads in _reads(config, view).items():
            for table, read in reads:
                source = graph.add(Node("column", table, read.column))
                graph.link(Edge(source, f"field:{view.name}.{name}", read.how, read.direct))


def _reads(config: StoreConfig, view: View) -> dict[str, list[tuple[str, Read]]]:
    """What each field of a view reads: names of tables, and columns of these."""
    shaping = {config.entity(view.entity).join_id: "JOIN", view.event_time: "FILTER", view.created_time: "FILTER"}
    also = {name: how for name, how in shaping.items() if name is not None}
    names = [*view.types, *(name for name in also if name not in view.types)]
    if not isinstance(view.source, SqlConfig):
        table = f"published/{view.name}" if view.source is None else table_of(view.source)
        of = {name: [(table, Read(table, name))] for name in names}
    else:
        tables = _tables(view.source)
        try:
            found = reads_of(view.source.query, tables.columns, names)
        except ConfigError as error:
            raise ConfigError(f"view '{view.name}': {error.problems[0].message if error.problems else error}") from None
        of = {name: [_named(tables, read) for read in reads] for name, reads in found.items()}
    made: dict[str, list[tuple[str, Read]]] = {}
    for name in view.types:
        others = [
            (table, Read(read.table, read.column, how, direct=False))
            for other, how in also.items()
            if other != name
            for table, read in of[other]
            if read.direct
        ]
        own = {(table, read.column) for table, read in of[name]}
        made[name] = [*of[name], *(pair for pair in others if (pair[0], pair[1].column) not in own)]
    return made


def _tables(source: SqlConfig) -> Tables:
    columns = {}
    for name, table in source.tables.items():
        known = _columns(table)
        if known:
            columns[name] = known
    return Tables(source.tables, columns)


def _columns(table: Any) -> list[str]:
    """The columns of a table where duckdb can look at it; else none, and the query alone tells."""
    try:
        import duckdb  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError:
        return []
    with duckdb.connect() as db:
        try:
            table.scan(db, "t")
        except (DataError, MissingExtra):
            return []
        return [row[0] for row in db.execute("DESCRIBE SELECT * FROM t").fetchall()]


def _named(tables: Tables, read: Read) -> tuple[str, Read]:
    """A column with its table as people call it, and in the spelling of the table."""
    called = next((name for name in tables.named if name.lower() == read.table.lower()), read.table)
    known = {name.lower(): name for name in tables.columns.get(called, ())}
    column = known.get(read.column.lower(), read.column)
    table = table_of(tables.named[called]) if called in tables.named else called
    return table, Read(read.table, column, read.how, read.direct)
