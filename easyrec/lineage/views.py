"""The views of a store: which columns of which tables, and which fields of other views, their fields are made of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from easyrec.errors import ConfigError, DataError, MissingExtra
from easyrec.lineage.graph import Edge, Graph, Node
from easyrec.lineage.query import Read, reads_of
from easyrec.store.behaviour import AGE
from easyrec.store.definitions import StoreConfig, View
from easyrec.store.duck import connection, types_of
from easyrec.store.transforms.rows import Config as RowsTransform
from easyrec.store.transforms.sql import Config as SqlTransform
from easyrec.store.transforms.windows import Config as WindowsTransform
from easyrec.store.transforms.windows import Counts, Rank, Ratio

NAMES = ("path", "paths", "name", "table", "topic")
"""Keys of a source that say what people call it; others may hold secrets."""
TAIL = re.compile(r"(/\*\*)?(/\*(\.\w+)?)?/?$|\.(parquet|csv|tsv|jsonl)$")


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
    """Add the fields of all views, and the columns and fields that they are made of.

    Raises:
        ConfigError: A query cannot be parsed, or gives no column of a field's name.
        MissingExtra: A view has a query, and sqlglot is not installed.
    """
    for view in config.views:
        described = {field.name: field.description for field in view.fields}
        for name, kind in view.types.items():
            told = {"type": kind, "entity": view.entity, "owner": view.owner, "tags": ", ".join(view.tags)}
            told["description"] = described.get(name) or view.description
            graph.add(Node("field", view.name, name, {key: value for key, value in told.items() if value}))
    for view in config.views:
        _Fields(graph, config, view).link()


def query_of(view: View) -> str | None:
    """The SQL that makes a view's rows; None: something else does."""
    return view.transform.query if isinstance(view.transform, SqlTransform) else None


class _Fields:
    """What the fields of a view read."""

    def __init__(self, graph: Graph, config: StoreConfig, view: View) -> None:
        self.graph, self.config, self.view = graph, config, view
        shaping = {config.entity(view.entity).join_id: "JOIN", view.event_time: "FILTER", view.created_time: "FILTER"}
        self.also = {name: how for name, how in shaping.items() if name is not None}
        """Columns that have a say in every field: how."""

    def link(self) -> None:
        """Add the edges that end at the fields."""
        names = list(dict.fromkeys([*self.view.types, *self.also]))
        found = self._reads(names)
        for name in self.view.types:
            target, own = f"field:{self.view.name}.{name}", set()
            for read in found[name]:
                for source in self._sources(read.table, read.column):
                    own.add(source)
                    self.graph.link(Edge(source, target, read.how, read.direct))
            for other, how in self.also.items():
                for read in found[other]:
                    for source in self._sources(read.table, read.column):
                        if other != name and read.direct and source not in own:
                            self.graph.link(Edge(source, target, how, direct=False))

    def _reads(self, names: Sequence[str]) -> dict[str, list[Read]]:
        """What columns of the view read, by the names that the transform gives to tables; without one, of its source."""
        transform = self.view.transform
        if transform is None:
            return {name: [Read("", name)] for name in names} | self._sequences() | self._counted()
        if isinstance(transform, SqlTransform):
            known = {name: self._columns(given) for name, given in transform.inputs.items()}
            try:
                return reads_of(transform.query, {name: some for name, some in known.items() if some}, names)
            except ConfigError as error:
                raise ConfigError(f"view '{self.view.name}': {error.problems[0].message}") from None
        made: dict[str, list[Read]] = {name: [] for name in names}
        if isinstance(transform, RowsTransform):
            made |= {name: [Read("input", name)] for name in self.view.types if name not in transform.made}
            for feature in transform.features:
                columns = [feature.of, *([feature.by] if feature.type == "ratio" else [])]
                made[feature.name] = [Read("input", column, "TRANSFORMATION") for column in columns]
        elif isinstance(transform, WindowsTransform):
            made |= self._windows(transform)
        if isinstance(transform, RowsTransform | WindowsTransform):
            made |= self._times(transform)
        return made

    def _sequences(self) -> dict[str, list[Read]]:
        """What sequences read: a field of their events, or of the age their time."""
        view = self.view
        if view.events is None or view.event_time is None:
            return {}
        columns = view.events.columns(view.held, view.event_time)
        return {
            name: [
                Read("", view.event_time if field == AGE else field, "TRANSFORMATION" if field == AGE else "IDENTITY")
            ]
            for name, (_, field, _) in columns.items()
        }

    def _counted(self) -> dict[str, list[Read]]:
        """What is counted of events: a column of them, where others are as it is asked."""
        stream = self.view.stream
        if stream is None:
            return {}
        where = [Read("", name, "FILTER", direct=False) for name in stream.where]
        made = {
            one.name: [*([Read("", one.column, "AGGREGATION")] if one.column is not None else []), *where]
            for one in stream.aggregates
        }
        join_id = self.config.entity(self.view.entity).join_id
        return made | {join_id: [Read("", stream.key or join_id)]}

    def _times(self, transform: RowsTransform | WindowsTransform) -> dict[str, list[Read]]:
        """Where the ids and the times of a transform's rows come from."""
        given = self._given(transform.input)
        whose = {
            self.config.entity(self.view.entity).join_id: transform.key or self.config.entity(self.view.entity).join_id,
            self.view.event_time: getattr(transform, "event_time", None) or getattr(given, "event_time", None),
            self.view.created_time: getattr(transform, "created_time", None) or getattr(given, "created_time", None),
        }
        return {name: [Read("input", of)] if of else [] for name, of in whose.items() if name is not None}

    def _windows(self, transform: WindowsTransform) -> dict[str, list[Read]]:
        """What statistics read; those of other statistics read what these do."""
        made: dict[str, list[Read]] = {}
        for feature in transform.features:
            if isinstance(feature, Ratio | Rank):
                of = [feature.of, *([feature.by] if isinstance(feature, Ratio) else [])]
                made[feature.name] = list(dict.fromkeys(read for name in of for read in made[name]))
                continue
            how = "TRANSFORMATION" if isinstance(feature, Counts) else "AGGREGATION"
            reads = [Read("input", feature.of, how)] if feature.of is not None else []
            reads += [Read("input", name, "FILTER", direct=False) for name in feature.where]
            made |= dict.fromkeys(feature.spans, reads)
        return made

    def _sources(self, table: str, column: str) -> Iterator[str]:
        """Nodes of a column of one of the tables that the view reads."""
        if self.view.transform is None:
            source = self.view.source if self.view.stream is None else self.view.stream.source
            name = f"published/{self.view.name}" if source is None else table_of(source)
            yield self.graph.add(Node("column", name, column))
            return
        inputs = self.view.transform.reads
        named = next((name for name in inputs if name.lower() == table.lower()), None)
        given = None if named is None else self._given(inputs[named])
        if isinstance(given, View):
            known = {name.lower(): name for name in given.types}
            if column.lower() in known:
                yield f"field:{given.name}.{known[column.lower()]}"
                return
            other = _Fields(self.graph, self.config, given)  # its ids and times are no fields
            for read in other._reads([column]).get(column, ()):
                yield from other._sources(read.table, read.column)
            return
        source = getattr(given, "source", given)
        spelled = {name.lower(): name for name in self._columns(given)}
        yield self.graph.add(
            Node("column", table if source is None else table_of(source), spelled.get(column.lower(), column))
        )

    def _given(self, given: Any) -> Any:
        """What an input is: a view, a label table, or a table of its own."""
        if not isinstance(given, str):
            return given
        return next((label for label in self.config.labels if label.name == given), None) or self.config.view(given)

    def _columns(self, given: Any) -> list[str]:
        """The columns of an input, where it says or shows them; else none, and the query alone tells."""
        given = self._given(given)
        if isinstance(given, View):
            times = [name for name in (given.event_time, given.created_time) if name is not None]
            return list(dict.fromkeys([self.config.entity(given.entity).join_id, *given.types, *times]))
        try:
            db = connection()
        except MissingExtra:
            return []
        try:
            getattr(given, "source", given).scan(db, "t")
            return list(types_of(db, "t"))
        except (DataError, MissingExtra):
            return []
        finally:
            db.close()
