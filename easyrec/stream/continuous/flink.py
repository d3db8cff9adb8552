"""`flink`: queries of Flink SQL in streaming mode that only ever add rows.

A row that is counted again when something comes would have to be taken back everywhere it went, and Flink 2.3 does not always do
so: it plans the first of a ROW_NUMBER as if no other could take its place, so that what was joined to the former one stays. Hence
nothing here is updated. Events are taken second by second of their own time; what follows them is found by joins over an interval
of time, and the best of several is chosen when the watermark has closed the second. State goes with the watermark.

Nor is there an outer join: Flink gives out the row that found nothing half an interval after the watermark that it lets pass, so
that what comes behind takes it for late. Every row is put beside what is joined to it instead.
"""

# ruff: noqa: S608 (statements are made of quoted names and of numbers)

from __future__ import annotations

from collections.abc import Mapping, Sequence

from easyrec.errors import ConfigError
from easyrec.store.definitions import StoreConfig
from easyrec.store.samples import CORRECTION, Label, SampleConfig
from easyrec.store.streams import Aggregate, EventsConfig, StreamConfig, Window
from easyrec.stream.continuous import FORGOTTEN, SECOND, check_every, check_final
from easyrec.stream.dialects import NAME, TIME
from easyrec.stream.dialects.flink import ROWTIME, Dialect
from easyrec.stream.joiner import EXPOSURE
from easyrec.stream.view_sql import AT, KEY, field, stream_view

CLOSED = "__w"
"""The time attribute of what came of events: the end of their second."""
LONGEST = 99 * 86_400
"""Seconds of an interval that Flink can write: it has two digits for days. Longer ones are sums."""
SET = ("SET 'execution.runtime-mode' = 'streaming'", "SET 'table.local-time-zone' = 'UTC'")


def sample_query(config: SampleConfig, tables: Mapping[str, str] | None = None) -> str:
    """Statements, the last of which is a SELECT of samples, each when its time has passed.

    Args:
        config: What is joined.
        tables: By `exposure` or a label's name, a table that holds the events.

    Raises:
        ConfigError: Events are not in files and no table is named, or samples are corrected.
    """
    check_final(config)
    query, named = _Query(config.exposures), dict(tables or {})
    sql = query.sql
    above: dict[str | None, str] = {
        None: query.events(EXPOSURE, config.exposures, list(dict.fromkeys(config.keys)), named.get(EXPOSURE))
    }
    for label in config.labels:
        own = query.events(label.name, label, config.keys_of(label), named.get(label.name))
        above[label.name] = query.view(f"{label.name} matched", _matched(query, config, label, own, above[label.of]))
    made = above[None]
    columns = [sql.quoted(name) for name in config.exposures.columns]
    for place, label in enumerate(config.labels):
        first = [f"__l{n}" for n in range(place)]
        # An event waits for those that follow it as long as they may come, and for their second to be closed.
        until = f"l.__lw BETWEEN e.{CLOSED} AND e.{CLOSED} + {interval(config.wait_micros + SECOND)}"
        same = f"l.__e = e.{NAME} AND l.__et = e.{TIME} AND l.__first <= e.{TIME} + {config.wait_micros}"
        events = f"SELECT __e, __et, {TIME} AS __first, {CLOSED} AS __lw FROM {above[label.name]}"
        joined = query.view(
            f"{label.name} joined",
            f"SELECT *, CAST(NULL AS BIGINT) AS __l{place} FROM {made} UNION ALL "
            f"SELECT e.*, l.__first AS __l{place} FROM {made} e JOIN ({events}) l ON {same} AND {until}",
        )
        kept = [*columns, TIME, NAME, *first, f"__l{place}"]
        made = query.view(f"{label.name} first", best(joined, kept, [NAME, TIME], f"-__l{place} DESC"))
    chosen = [sql.quoted(name) for name in config.exposures.kept]
    for place, label in enumerate(config.labels):
        chosen.append(f"CASE WHEN __l{place} IS NULL THEN 0 ELSE 1 END AS {sql.quoted(label.name)}")
        chosen.append(f"{sql.timestamp(f'__l{place}')} AS {sql.quoted(f'{label.name}_time')}")
    return query.whole(f"SELECT {', '.join([*chosen, f'FALSE AS {sql.quoted(CORRECTION)}'])} FROM {made}")


def _matched(query: _Query, config: SampleConfig, label: Label, own: str, parent: str) -> str:
    """Events of a label with the exposure that they follow: `__e` and `__et`, its name and time."""
    sql, keys = query.sql, config.keys_of(label)
    above = config.exposures if label.of is None else config.label(label.of)
    text = sql.kind("string")
    same = [
        f"c.{sql.quoted(key)} = p.{sql.quoted(key)}"
        if label.columns[key] == above.columns[key]
        else f"CAST(c.{sql.quoted(key)} AS {text}) = CAST(p.{sql.quoted(key)} AS {text})"
        for key in keys
    ]
    exposure = (NAME, TIME) if label.of is None else ("__e", "__et")
    held = ", ".join(
        [*map(sql.quoted, keys), f"{TIME} AS __pt", f"{NAME} AS __pn", f"{CLOSED} AS __pw"]
        + [f"{one} AS {name}" for one, name in zip(exposure, ("__pe", "__pet"), strict=True)]
    )
    near = f"p.__pw BETWEEN c.{CLOSED} - {interval(label.window_micros + SECOND)} AND c.{CLOSED}"
    exact = f"p.__pt <= c.{TIME} AND p.__pt >= c.{TIME} - {label.window_micros}"
    joined = query.view(
        f"{label.name} near",
        f"SELECT c.*, p.__pe AS __e, p.__pet AS __et, p.__pt, p.__pn FROM {own} c JOIN (SELECT {held} FROM {parent}) p "
        f"ON {' AND '.join([*same, near, exact])}",
    )
    columns = [*map(sql.quoted, label.columns), TIME, NAME, "__e", "__et"]
    return best(joined, columns, [NAME, TIME], "__pt DESC, __pn DESC")


def view_query(config: StoreConfig, name: str, every: int, table: str | None = None) -> str:
    """Statements, the last of which is a SELECT of a view's rows at the end of each span in which a field changes.

    Args:
        config: What is defined.
        name: Of the view.
        every: The span, microseconds: whole seconds.
        table: A table that holds the events.

    Raises:
        ConfigError: There is no such stream view, its events are in no files, or Flink cannot say a field.
    """
    check_every(every)
    view = stream_view(config, name)
    assert view.stream is not None
    query = _Query(view.stream)
    return _View(query, view.stream, config.entity(view.entity).join_id, every, table).text(view.event_time)


class _View:
    def __init__(self, query: _Query, stream: StreamConfig, join_id: str, every: int, table: str | None) -> None:
        self.query, self.sql, self.stream, self.every, self.table = query, query.sql, stream, every, table
        self.join_id, self.key = join_id, stream.key or join_id

    def text(self, event_time: str | None) -> str:
        query, sql, stream = self.query, self.sql, self.stream
        self.events = query.events("events", stream, [self.key], self.table)
        self.moments = query.view("moments", self._moments())
        alike: dict[tuple[Window | None, float | None], list[Aggregate]] = {}
        for one in stream.aggregates:
            alike.setdefault((one.window, one.half_life), []).append(one)
        parts = [
            query.view(f"part {place}", self._part(window, some))
            for place, ((window, _), some) in enumerate(alike.items())
        ]
        where = {one.name: place for place, some in enumerate(alike.values()) for one in some}
        chosen = [f"p0.{KEY} AS {sql.quoted(self.join_id)}"]
        chosen += [f"p{where[one.name]}.{sql.quoted(one.name)} AS {sql.quoted(one.name)}" for one in stream.aggregates]
        chosen.append(f"{sql.timestamp(f'p0.{AT}')} AS {sql.quoted(event_time or stream.event_time)}")
        joins = ""
        for place, part in list(enumerate(parts))[1:]:
            same = " AND ".join(f"p{place}.{name} = p0.{name}" for name in (KEY, AT, CLOSED))
            joins += f" JOIN {part} p{place} ON {same}"
        return query.whole(f"SELECT {', '.join(chosen)} FROM {parts[0]} p0{joins}")

    def _moments(self) -> str:
        """The ends of spans in which a field of a key changes: when an event comes, and when it leaves."""
        sql, stream, found = self.sql, self.stream, []
        for moment, apart in self._changes():
            at = f"({sql.floor(f'({moment})', self.every)} + {self.every - 1})"
            own = self.query.source(stream, self.table, at, apart + self.every)
            rows = sql.events(stream, [self.key], own, once=False, more=[f"{at} AS {AT}", ROWTIME])
            found.append(f"SELECT {sql.quoted(self.key)} AS {KEY}, {AT}, {ROWTIME} FROM ({rows})")
        every = self.query.view("changes", "\n  UNION ALL ".join(found))
        return best(every, [KEY, AT], [KEY, AT], f"{ROWTIME} ASC", ROWTIME)

    def _changes(self) -> list[tuple[str, int]]:
        """When an event changes a field, and by how much more these times may differ than those of the events."""
        when, found = self.sql.when(self.stream), {}
        for one in self.stream.aggregates:
            window = one.window
            if window is None or window.gap is not None:
                found[when] = 0
                continue
            hop, pane = window.hop_micros, self.sql.floor(when, window.hop_micros)
            if window.type == "sliding":
                found |= {when: 0, f"{pane} + {window.size_micros}": hop}
            else:
                found |= {f"{pane} + {hop}": hop, f"{pane} + {hop + window.size_micros}": hop}
        return list(found.items())

    def _part(self, window: Window | None, some: Sequence[Aggregate]) -> str:
        """The fields of one window, at each moment."""
        sql = self.sql
        if window is not None and window.gap is not None:
            told = f"flink does not say the session of a moment in a query that runs for ever: '{some[0].name}'"
            raise ConfigError(f"{told}; take spark, or a sliding window")
        if window is None and some[0].half_life is None:
            return self._ever(some)
        exact = [f"e.{sql.quoted(self.key)} = m.{KEY}", f"e.{TIME} <= m.{AT}"]
        if window is None:
            back = round(FORGOTTEN * (some[0].half_life or 0.0) * 1e6)
        else:
            now, sliding = sql.floor(f"m.{AT}", window.hop_micros), window.type == "sliding"
            back = window.size_micros + window.hop_micros
            exact.append(f"e.{TIME} >= {now} - {window.size_micros - window.hop_micros * sliding}")
            exact += [] if sliding else [f"e.{TIME} < {now}"]
        exact.append(f"e.{CLOSED} BETWEEN m.{CLOSED} - {interval(back + SECOND)} AND m.{CLOSED}")
        columns = ", ".join(f"e.{sql.quoted(name)}" for name in self.stream.columns)
        nothing = self._nothing()
        near = self.query.view(
            f"near {some[0].name}",
            f"SELECT {KEY}, {AT}, {CLOSED}, {nothing} FROM {self.moments} UNION ALL "
            f"SELECT m.{KEY}, m.{AT}, m.{CLOSED}, {columns}, e.{TIME}, e.{NAME} FROM {self.moments} m "
            f"JOIN {self.events} e ON {' AND '.join(exact)}",
        )
        fields = ", ".join(f"{field(sql, self.stream, one, f'e.{AT}')} AS {sql.quoted(one.name)}" for one in some)
        of = ", ".join(f"e.{name}" for name in ("window_start", "window_end", "window_time", KEY, AT))
        return (
            f"SELECT e.{KEY}, e.{AT}, {fields}, e.window_time AS {CLOSED} FROM {seconds(near, CLOSED)} e GROUP BY {of}"
        )

    def _ever(self, some: Sequence[Aggregate]) -> str:
        """Fields of all events up to each moment: what runs over events and moments in one line."""
        sql = self.sql
        columns = [sql.quoted(name) for name in self.stream.columns]
        line = self.query.view(
            f"line of {some[0].name}",
            f"SELECT {sql.quoted(self.key)} AS {KEY}, CAST(NULL AS BIGINT) AS {AT}, {', '.join(columns)}, {TIME}, {NAME}, "
            f"{CLOSED} FROM {self.events} UNION ALL SELECT {KEY}, {AT}, {self._nothing()}, {CLOSED} "
            f"FROM {self.moments}",
        )
        sql.over = " OVER run"
        fields = ", ".join(f"{field(sql, self.stream, one)} AS {sql.quoted(one.name)}" for one in some)
        sql.over = ""
        run = f"WINDOW run AS (PARTITION BY {KEY} ORDER BY {CLOSED} RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
        return f"SELECT * FROM (SELECT {KEY}, {AT}, {fields}, {CLOSED} FROM {line} e {run}) WHERE {AT} IS NOT NULL"

    def _nothing(self) -> str:
        """The columns of no event."""
        kinds = {self.sql.quoted(name): self.sql.kind(kind) for name, kind in self.stream.columns.items()}
        kinds |= {TIME: "BIGINT", NAME: "STRING"}
        return ", ".join(f"CAST(NULL AS {kind}) AS {name}" for name, kind in kinds.items())


class _Query:
    """Statements that are made one after the other.

    Args:
        events: After how long without events a source does not hold up the others is theirs to say.
    """

    def __init__(self, events: EventsConfig) -> None:
        self.sql, self._sources = Dialect(), 0
        self.sql.declared += [*SET, f"SET 'table.exec.source.idle-timeout' = '{round(events.idle * 1e3)} ms'"]

    def whole(self, statement: str) -> str:
        return self.sql.script(statement)

    def view(self, name: str, statement: str) -> str:
        """A statement under a name."""
        self.sql.declared.append(f"CREATE TEMPORARY VIEW {self.sql.quoted(name)} AS\n  {statement}")
        return self.sql.quoted(name)

    def source(self, events: EventsConfig, table: str | None, micros: str, behind: int) -> str:
        """A table of events with a time attribute, whose watermark is so far behind as they are out of order, and more."""
        sql, name = self.sql, self.sql.quoted(f"source {self._sources}")
        self._sources += 1
        behind += round(events.lateness * 1e6)
        told = f"{ROWTIME} AS {sql.timestamp(micros)}, WATERMARK FOR {ROWTIME} AS {ROWTIME} - {interval(behind)}"
        base = table or sql.files(events)
        sql.declared.append(f"CREATE TEMPORARY TABLE {name} ({told}) LIKE {base} (EXCLUDING WATERMARKS)")
        return name

    def events(self, name: str, events: EventsConfig, needed: Sequence[str], table: str | None) -> str:
        """The events that count, each once: copies have the same time."""
        own = self.source(events, table, self.sql.when(events), 0)
        rows = self.view(f"{name} rows", self.sql.events(events, needed, own, once=False, more=[ROWTIME]))
        columns = [*map(self.sql.quoted, events.columns), TIME, NAME]
        same = [NAME, TIME]
        if isinstance(events, StreamConfig) and events.id is None:  # nothing tells them apart: all count
            return self.view(
                name, f"SELECT {', '.join(columns)}, window_time AS {CLOSED} FROM {seconds(rows, ROWTIME)}"
            )
        return self.view(name, best(rows, columns, same, f"{ROWTIME} ASC", ROWTIME))


def best(rows: str, columns: Sequence[str], of: Sequence[str], order: str, time: str = CLOSED) -> str:
    """Of the rows of a second that are alike the first in an order, when the second is closed."""
    first = f"ROW_NUMBER() OVER (PARTITION BY window_start, window_end, {', '.join(of)} ORDER BY {order}) AS __r"
    return f"SELECT {', '.join(columns)}, window_time AS {CLOSED} FROM (SELECT *, {first} FROM {seconds(rows, time)}) WHERE __r = 1"


def seconds(rows: str, time: str) -> str:
    """Rows with the second of a time attribute."""
    return f"TABLE(TUMBLE(TABLE {rows}, DESCRIPTOR({time}), INTERVAL '1' SECOND))"


def interval(micros: int) -> str:
    """A length of time, rounded up to whole seconds."""
    whole = -(-micros // SECOND)
    parts: list[str] = []
    while whole or not parts:
        part = min(whole, LONGEST)
        clock = f"{part // 3600 % 24:02}:{part // 60 % 60:02}:{part % 60:02}"
        parts.append(f"INTERVAL '{part // 86_400} {clock}' DAY TO SECOND")
        whole -= part
    return parts[0] if len(parts) == 1 else f"({' + '.join(parts)})"
