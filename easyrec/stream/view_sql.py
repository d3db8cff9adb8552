"""Stream views as SQL: what is counted of events that all have come, as one statement for an engine.

Of a key it gives rows as of some moments: one that is named, or all at which a field changes, or the ends of spans of time in
which one does. The latter two are the rows of all times that training sets are made of.
"""

# ruff: noqa: S608 (statements are made of quoted names and of numbers)

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from easyrec.errors import ConfigError
from easyrec.store.definitions import StoreConfig, View
from easyrec.store.streams import Aggregate, StreamConfig, Window
from easyrec.stream.dialects import NAME, TIME, Sql

KEY, AT = "__k", "__at"


def view_sql(
    config: StoreConfig,
    name: str,
    sql: Sql,
    *,
    at: int | None = None,
    every: int | None = None,
    table: str | None = None,
    between: tuple[str, str] | None = None,
) -> str:
    """The SELECT of a view's rows: the join id, the fields, and the time as of which they are.

    Args:
        config: What is defined.
        name: Of the view.
        sql: The engine's.
        at: The moment, microseconds since 1970. Default: all moments at which a field changes.
        every: Not all these moments, but the last microseconds of the spans of this length in which one is.
        table: A table that holds the events. Default: the source's files.
        between: Of which moments: the least, and the one that all are before, in words of the engine.

    Raises:
        ConfigError: There is no such stream view, its events are not in files, or the engine cannot say a field.
    """
    view = stream_view(config, name)
    assert view.stream is not None
    return _Statement(config, view, view.stream, sql, between).text(at, every, table)


def stream_view(config: StoreConfig, name: str) -> View:
    """A view that says what it counts.

    Raises:
        ConfigError: There is none of this name.
    """
    try:
        view = config.view(name)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if view.stream is None:
        raise ConfigError(f"view '{name}' says not what it counts: it has no section `stream`")
    return view


@dataclass(frozen=True)
class _Statement:
    config: StoreConfig
    view: View
    stream: StreamConfig
    sql: Sql
    between: tuple[str, str] | None

    def text(self, at: int | None, every: int | None, table: str | None) -> str:
        sql, join_id = self.sql, self.config.entity(self.view.entity).join_id
        key = self.stream.key or join_id
        rows = sql.events(self.stream, [key], table, once=self.stream.id is not None)
        columns = ", ".join(map(sql.quoted, self.stream.columns))
        keyed = f"SELECT {sql.quoted(key)} AS {KEY}, {columns}, {TIME}, {NAME} FROM (\n  {rows}\n  ) AS __all"
        parts = [f"events AS (\n  {keyed}\n)", f"moments AS (\n  {self._moments(at, every)}\n)"]
        alike: dict[Window | None, list[Aggregate]] = {}
        for one in self.stream.aggregates:
            alike.setdefault(one.window, []).append(one)
        joins: list[str] = []
        where: dict[str, int] = {}
        for place, (window, some) in enumerate(alike.items()):
            parts.append(f"g{place} AS (\n  {self._group(window, some)}\n)")
            joins.append(f"JOIN g{place} ON g{place}.{KEY} = m.{KEY} AND g{place}.{AT} = m.{AT}")
            where |= {one.name: place for one in some}
        chosen = [f"m.{KEY} AS {sql.quoted(join_id)}"]
        chosen += [
            f"g{where[one.name]}.{sql.quoted(one.name)} AS {sql.quoted(one.name)}" for one in self.stream.aggregates
        ]
        assert self.view.event_time is not None
        chosen.append(f"{sql.timestamp(f'm.{AT}')} AS {sql.quoted(self.view.event_time)}")
        with_, columns, from_ = ",\n".join(parts), ",\n  ".join(chosen), "\n".join(joins)
        return sql.script(f"WITH {with_}\nSELECT\n  {columns}\nFROM moments m\n{from_}")

    def _moments(self, at: int | None, every: int | None) -> str:
        """When rows are made: key and time."""
        if at is not None:
            return f"SELECT DISTINCT {KEY}, CAST({at} AS BIGINT) AS {AT} FROM events WHERE {TIME} <= {at}"
        found = dict.fromkeys(moment for one in self.stream.aggregates for moment in self._changes(one.window))
        if every is not None:
            found = {f"{self.sql.floor(f'({moment})', every)} + {every - 1}": None for moment in found}
        every_moment = "\n  UNION ".join(f"SELECT {KEY}, {moment} AS {AT} FROM events" for moment in found)
        if self.between is None:
            return every_moment
        asked = f"{AT} >= {self.between[0]} AND {AT} < {self.between[1]}"
        return f"SELECT {KEY}, {AT} FROM (\n  {every_moment}\n  ) AS __changes WHERE {asked}"

    def _changes(self, window: Window | None) -> Sequence[str]:
        """When an event changes a field: when it comes in, and when it goes out."""
        if window is None:
            return [TIME]
        if window.gap is not None:
            return [TIME, f"{TIME} + {round(window.gap * 1e6)}"]
        pane = self.sql.floor(TIME, window.hop_micros)
        if window.type == "sliding":
            return [TIME, f"{pane} + {window.size_micros}"]
        return [f"{pane} + {window.hop_micros}", f"{pane} + {window.hop_micros + window.size_micros}"]

    def _group(self, window: Window | None, some: Sequence[Aggregate]) -> str:
        """The fields of one window, for each moment."""
        fields = ", ".join(f"{field(self.sql, self.stream, one)} AS {self.sql.quoted(one.name)}" for one in some)
        held = self._session(window) if window is not None and window.gap is not None else self._panes(window)
        return f"SELECT m.{KEY}, m.{AT}, {fields}\n  FROM moments m LEFT JOIN {held}\n  GROUP BY m.{KEY}, m.{AT}"

    def _panes(self, window: Window | None) -> str:
        asked = [f"e.{KEY} = m.{KEY}", f"e.{TIME} <= m.{AT}"]
        if window is not None:
            now = self.sql.floor(f"m.{AT}", window.hop_micros)
            sliding = window.type == "sliding"
            asked.append(f"e.{TIME} >= {now} - {window.size_micros - window.hop_micros * sliding}")
            asked += [] if sliding else [f"e.{TIME} < {now}"]
        return f"events e ON {' AND '.join(asked)}"

    def _session(self, window: Window) -> str:
        assert window.gap is not None
        gap, of = round(window.gap * 1e6), f"PARTITION BY m.{KEY}, m.{AT}"
        before = f"LAG(e.{TIME}) OVER ({of} ORDER BY e.{TIME})"
        begin = f"CASE WHEN {before} IS NULL OR e.{TIME} - {before} > {gap} THEN e.{TIME} END AS __begin"
        first = f"SELECT m.{AT}, e.*, {begin} FROM moments m JOIN events e ON e.{KEY} = m.{KEY} AND e.{TIME} <= m.{AT}"
        of = f"PARTITION BY {KEY}, {AT}"
        bounds = f"MAX(__begin) OVER ({of}) AS __start, MAX({TIME}) OVER ({of}) AS __end"
        whole = f"SELECT *, {bounds} FROM ({first}) AS __begun"
        now = f"e.{TIME} >= e.__start AND m.{AT} < e.__end + {gap}"
        return f"({whole}) e ON e.{KEY} = m.{KEY} AND e.{AT} = m.{AT} AND {now}"


def field(sql: Sql, stream: StreamConfig, one: Aggregate, at: str = f"m.{AT}") -> str:
    """A field of the events `e` of a group.

    Args:
        sql: The engine's.
        stream: What is counted.
        one: The field.
        at: The moment of the group.
    """
    kind, over = one.kind(stream.columns), sql.over
    column = f"e.{TIME}" if one.column is None else f"e.{sql.quoted(one.column)}"
    if one.function == "count":
        return f"COUNT({column}){over}"
    if one.function == "distinct":
        return f"COUNT(DISTINCT {column}){over}"
    if one.half_life is not None:
        age = f"CAST(e.{TIME} - {at} AS DOUBLE) / {one.half_life * 1e6!r}"
        return f"COALESCE(SUM(CASE WHEN {column} IS NOT NULL THEN POWER(2.0, {age}) END){over}, 0.0)"
    if one.function in ("first", "last"):
        assert one.column is not None
        order, kind = [f"e.{TIME}", f"e.{NAME}"], stream.columns[one.column]
        return sql.earliest(column, order, kind) if one.function == "first" else sql.latest(column, order, one.k, kind)
    if one.function == "mean":
        return f"AVG(CAST({column} AS DOUBLE)){over}"
    if one.function == "sum":
        wide = sql.kind(kind)
        return f"CAST(SUM(CAST({column} AS {wide})){over} AS {wide})"
    return f"{one.function.upper()}({column}){over}"
