"""Which columns of which tables a query reads for each column that it gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from easyrec.errors import ConfigError, MissingExtra

LEVELS = ("IDENTITY", "TRANSFORMATION", "AGGREGATION")


@dataclass(frozen=True)
class Read:
    """A column that is read.

    Attributes:
        table: As the query calls it.
        column: Its name.
        how: See `Edge.how`.
        direct: Whether its value goes on.
    """

    table: str
    column: str
    how: str = "IDENTITY"
    direct: bool = True


@dataclass
class _Made:
    """What a part of a query gives.

    Attributes:
        columns: What each of its columns reads, in order.
        rows: What has a say in which rows there are.
        star: What `*` stands for where nobody knows the columns.
    """

    columns: dict[str, set[Read]]
    rows: set[Read]
    star: list[Any]


def reads_of(sql: str, columns: Mapping[str, Sequence[str]], wanted: Iterable[str]) -> dict[str, list[Read]]:
    """What a query of duckdb's dialect reads for some of its columns.

    Args:
        sql: The query.
        columns: Columns of its tables, as far as they are known.
        wanted: Columns that it gives; upper and lower case are the same.

    Raises:
        ConfigError: It cannot be parsed, or gives no such column.
        MissingExtra: sqlglot is not installed.
    """
    try:
        import sqlglot  # noqa: PLC0415 (an extra)
        from sqlglot.optimizer.qualify import qualify  # noqa: PLC0415 (an extra)
        from sqlglot.optimizer.scope import build_scope  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError:
        raise MissingExtra("sqlglot", "lineage") from None
    schema = {table: dict.fromkeys(names, "unknown") for table, names in columns.items()}
    options: dict[str, Any] = {
        "dialect": "duckdb",
        "schema": schema,
        "validate_qualify_columns": False,
        "identify": False,
    }
    try:
        parsed = sqlglot.parse_one(sql, dialect="duckdb")
        try:
            parsed = qualify(parsed.copy(), **options)
        except sqlglot.errors.OptimizeError:  # it does not know whose a column is: then it may be any table's
            parsed = qualify(parsed, **options, qualify_columns=False)
    except sqlglot.errors.SqlglotError as error:
        raise ConfigError(f"the query cannot be parsed: {str(error).splitlines()[0][:300]}") from None
    scope = build_scope(parsed)
    if scope is None:
        raise ConfigError("the query must be one SELECT")
    reader = _Reader({table.lower(): {name.lower() for name in names} for table, names in columns.items()})
    made: dict[str, list[Read]] = {}
    for name in wanted:
        found = reader.column(scope, name.lower())
        if found is None:
            known = ", ".join(reader.made(scope).columns)
            raise ConfigError(f"the query gives no column '{name}'; it gives: {known}")
        made[name] = sorted(_once(found), key=lambda read: (read.table, read.column))
    return made


class _Reader:
    """Follows columns through the parts of a query, each of which is looked at once."""

    def __init__(self, columns: Mapping[str, set[str]]) -> None:
        from sqlglot import exp  # noqa: PLC0415 (an extra)

        self.exp: Any = exp
        self.columns = columns
        self._known: dict[int, _Made] = {}

    def column(self, scope: Any, name: str) -> set[Read] | None:
        """What a column of a part reads; None: it has no such column."""
        made = self.made(scope)
        if name in made.columns:
            return made.columns[name] | made.rows
        found = [read for source in made.star for read in self._of_source(source, name) or ()]
        return set(found) | made.rows if made.star else None

    def made(self, scope: Any) -> _Made:
        """What a part gives."""
        known = self._known.get(id(scope))
        if known is None:
            known = self._known[id(scope)] = _Made({}, set(), [])  # of a query that reads itself: nothing new
            if scope.set_operation_scopes:
                self._united(scope, known)
            else:
                self._selected(scope, known)
        return known

    def _united(self, scope: Any, made: _Made) -> None:
        parts = [self.made(part) for part in scope.set_operation_scopes]
        for place, name in enumerate(parts[0].columns):
            of_parts = [list(part.columns.values()) for part in parts]
            made.columns[name] = {read for reads in of_parts if place < len(reads) for read in reads[place]}
        for part in parts:
            made.rows |= part.rows
            made.star += part.star

    def _selected(self, scope: Any, made: _Made) -> None:
        exp, select = self.exp, scope.expression
        sources = _sources(scope)
        for source in sources.values():
            if not isinstance(source, exp.Table):
                made.rows |= _indirect(self.made(source).rows)
        for key, how in (("where", "FILTER"), ("having", "FILTER"), ("qualify", "FILTER"), ("group", "GROUP_BY")):
            made.rows |= self._indirect(scope, select.args.get(key), how)
        if select.args.get("limit") is not None:
            made.rows |= self._indirect(scope, select.args.get("order"), "SORT")
        for join in select.args.get("joins") or ():
            made.rows |= self._indirect(scope, join.args.get("on"), "JOIN")
            for column in join.args.get("using") or ():
                for source in sources.values():
                    made.rows |= _indirect(self._of_source(source, column.name) or (), "JOIN")
        for chosen in select.selects:
            if isinstance(chosen, exp.Star) or (isinstance(chosen, exp.Column) and isinstance(chosen.this, exp.Star)):
                whose = "" if isinstance(chosen, exp.Star) else chosen.table
                made.star += [sources[whose]] if whose in sources else list(sources.values())
                continue
            made.columns[chosen.alias_or_name.lower()] = set(self._value(scope, chosen.unalias()))

    def _value(self, scope: Any, value: Any) -> Iterator[Read]:
        """What an expression reads."""
        exp = self.exp
        how = "IDENTITY"
        if not isinstance(value, exp.Column):
            how = "AGGREGATION" if value.find(exp.AggFunc) else "TRANSFORMATION"
        for column in value.find_all(exp.Column):
            side = self._side(column, value)
            for read in self._resolved(scope, column):
                if side:
                    yield from _indirect([read], side)
                elif read.direct:
                    yield replace(read, how=max(how, read.how, key=LEVELS.index))
                else:
                    yield read

    def _side(self, column: Any, value: Any) -> str:
        """What a column only has a say in, where its value does not go on."""
        exp, below, node = self.exp, column, column
        while node is not value:
            below, node = node, node.parent
            if isinstance(node, exp.Window) and below is not node.this:
                return "WINDOW"
            if isinstance(node, exp.If) and below is node.this:
                return "CONDITIONAL"
            if isinstance(node, exp.Order) and not isinstance(node.parent, exp.Window):
                return "SORT"
            if isinstance(node, exp.Where):
                return "FILTER"
        return ""

    def _indirect(self, scope: Any, clause: Any, how: str) -> set[Read]:
        if clause is None:
            return set()
        found: set[Read] = set()
        for column in clause.find_all(self.exp.Column):
            found |= _indirect(self._resolved(scope, column), how)
        return found

    def _resolved(self, scope: Any, column: Any) -> list[Read]:
        """Columns of tables that a column of a part stands for."""
        around = [_sources(part) for part in self._around(scope, column)]
        if column.table:
            found = [sources[column.table] for sources in around if column.table in sources][:1]
        else:
            found = next((list(sources.values()) for sources in around if sources), [])
        return [read for source in found for read in self._of_source(source, column.name) or ()]

    def _around(self, scope: Any, column: Any) -> Iterator[Any]:
        """The parts whose sources a column may name: that of the subquery it stands in, then those around."""
        for inner in scope.subquery_scopes:
            if column.find_ancestor(type(inner.expression)) is inner.expression:
                yield from self._around(inner, column)
        while scope is not None:
            yield scope
            scope = scope.parent

    def _of_source(self, source: Any, name: str) -> set[Read] | None:
        if isinstance(source, self.exp.Table):
            known = self.columns.get(source.name.lower())
            return {Read(source.name, name)} if known is None or name.lower() in known else None
        return self.column(source, name.lower())


def _sources(scope: Any) -> dict[str, Any]:
    """What a part selects from, by the names that its columns give it."""
    return {name: source for name, (_, source) in scope.selected_sources.items()}


def _indirect(reads: Iterable[Read], how: str = "") -> set[Read]:
    return {
        read if not (read.direct or how) else Read(read.table, read.column, how or "FILTER", False) for read in reads
    }


def _once(reads: Iterable[Read]) -> list[Read]:
    """Each column once: as a value where it is one, then by how much is made of it."""
    best: dict[tuple[str, str], Read] = {}
    for read in sorted(reads, key=lambda read: (read.direct, LEVELS.index(read.how) if read.direct else -1, read.how)):
        best[read.table, read.column] = read
    return list(best.values())
