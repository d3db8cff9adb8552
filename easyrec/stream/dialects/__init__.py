"""Dialects of SQL that definitions are compiled to: one file per engine, each with a class `Dialect`.

The statements are made of names in quotes, of numbers and of texts in quotes, so that nothing in a config is run as SQL.
Times are whole microseconds since 1970 within a statement, so that every engine counts them alike.
"""

# ruff: noqa: S608 (statements are made of quoted names and of numbers)

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from easyrec.errors import ConfigError, nearest
from easyrec.store.streams import Condition, EventsConfig
from feature_generator.config import member, members

TIME, NAME = "__t", "__n"
"""Columns of events beside their own: when they happened, and what tells one from another."""
FILES = ("parquet", "jsonl")
"""Sources that are files."""
UNITS = {"s": 1_000_000, "ms": 1000, "us": 1}


class Sql(ABC):
    """How an engine says things.

    Attributes:
        name: The engine's.
        quote: What names stand in.
        declared: Statements that have to be run in front.
        over: What aggregates are of, in place of a group: an OVER clause.
    """

    name: ClassVar[str]
    quote: ClassVar[str] = '"'

    def __init__(self) -> None:
        self.declared: list[str] = []
        self.over = ""

    def quoted(self, name: str) -> str:
        """A name, whatever it holds."""
        return self.quote + name.replace(self.quote, self.quote * 2) + self.quote

    def text(self, value: str) -> str:
        """A text, whatever it holds."""
        return "'" + value.replace("'", "''") + "'"

    @abstractmethod
    def table(self, kind: str, path: str, columns: Mapping[str, str]) -> str:
        """Files as they stand behind FROM.

        Args:
            kind: `parquet` or `jsonl`.
            path: A file, a folder or a glob.
            columns: Types by column.
        """

    @abstractmethod
    def kind(self, text: str) -> str:
        """The type that a field's type is here."""

    @abstractmethod
    def micros(self, timestamp: str) -> str:
        """Microseconds since 1970 of a timestamp."""

    @abstractmethod
    def timestamp(self, micros: str) -> str:
        """The timestamp of microseconds since 1970."""

    @abstractmethod
    def floor(self, micros: str, width: int) -> str:
        """The multiple of a width at or before a time."""

    @abstractmethod
    def latest(self, value: str, order: Sequence[str], count: int, kind: str) -> str:
        """The values of the last rows of a group, the latest last; `order` ascends. Null ones are left out.

        Args:
            value: Of a row.
            order: When it happened, and a text.
            count: How many values.
            kind: The type of a value.
        """

    def earliest(self, value: str, order: Sequence[str], kind: str) -> str:
        """The value of the first row of a group, as of `latest`. Null ones are passed over."""
        row = f"{self.struct(order)}"
        return f"min_by({value}, {row}) FILTER (WHERE {value} IS NOT NULL)"

    @abstractmethod
    def struct(self, parts: Sequence[str]) -> str:
        """Something that is in the order of its parts."""

    # ------------------------------------------------------------------------------- what all say alike

    def script(self, statement: str) -> str:
        """A statement behind what it needs."""
        return ";\n".join([*self.declared, statement])

    def literal(self, value: object) -> str:
        """A plain value of a config."""
        if isinstance(value, bool):
            return "TRUE" if value else "FALSE"
        return self.text(value) if isinstance(value, str) else repr(value)

    def condition(self, name: str, asked: Condition) -> str:
        """What a column must hold."""
        column, found = self.quoted(name), []
        if asked.is_ is not None:
            found.append(f"{column} = {self.literal(asked.is_)}")
        if asked.is_not is not None:
            found.append(f"{column} <> {self.literal(asked.is_not)}")
        if asked.among is not None:
            found.append(f"{column} IN ({', '.join(map(self.literal, asked.among))})")
        if asked.least is not None:
            found.append(f"{column} >= {asked.least!r}")
        if asked.most is not None:
            found.append(f"{column} <= {asked.most!r}")
        if asked.null is not None:
            found.append(f"{column} IS {'' if asked.null else 'NOT '}NULL")
        return " AND ".join(found)

    def when(self, events: EventsConfig) -> str:
        """When an event happened, in microseconds."""
        column = self.quoted(events.event_time)
        if events.columns[events.event_time] == "timestamp":
            return self.micros(column)
        unit = UNITS[events.time_unit]
        return f"CAST({column} AS BIGINT)" + (f" * {unit}" if unit > 1 else "")

    def files(self, events: EventsConfig) -> str:
        """The files of a source as they stand behind FROM.

        Raises:
            ConfigError: The source is no files.
        """
        source: Any = events.source
        if source.type not in FILES:
            raise ConfigError(
                f"events of '{source.type}' are no files: name a table that holds them, --table NAME=TABLE"
            )
        return self.table(source.type, source.path, events.columns)

    def events(
        self,
        events: EventsConfig,
        needed: Sequence[str],
        table: str | None = None,
        *,
        once: bool = True,
        more: Sequence[str] = (),
    ) -> str:
        """A SELECT of the events that count, each once.

        Args:
            events: Which.
            needed: Columns that may not be null; without an id they, and the time, tell events apart.
            table: A table that holds them. Default: the files of the source.
            once: Whether those that come twice are left out.
            more: Further columns that the table has; of `once` alone there are none.

        Raises:
            ConfigError: The source is no files, and no table is named.
        """
        table = table or self.files(events)
        texts = [
            f"CAST({self.quoted(name)} AS {self.kind('string')})" for name in ([events.id] if events.id else needed)
        ]
        name = texts[0] if len(texts) == 1 else f"CONCAT_WS({self.text(chr(31))}, {', '.join(texts)})"
        whole = dict.fromkeys([events.event_time, *needed, *filter(None, [events.id])])
        asked = [f"{self.quoted(one)} IS NOT NULL" for one in whole]
        asked += [self.condition(one, condition) for one, condition in events.where.items()]
        columns = ", ".join([*map(self.quoted, events.columns), *more])
        rows = f"SELECT {columns}, {self.when(events)} AS {TIME}, {name} AS {NAME} FROM {table} WHERE {' AND '.join(asked)}"
        same = NAME if events.id else f"{NAME}, {TIME}"
        if not once:
            return rows
        numbered = (
            f"SELECT *, ROW_NUMBER() OVER (PARTITION BY {same} ORDER BY {TIME}) AS __copy FROM ({rows}) AS __rows"
        )
        return f"SELECT {columns}, {TIME}, {NAME} FROM ({numbered}) AS __numbered WHERE __copy = 1"


def dialect(name: str) -> Sql:
    """The dialect of an engine.

    Raises:
        ConfigError: There is none.
    """
    known = members("easyrec.stream.dialects")
    if name not in known:
        raise ConfigError(f"unknown dialect '{name}'{nearest(name, known)}; known: {', '.join(known)}")
    made: Sql = member("easyrec.stream.dialects", name).Dialect()
    return made
