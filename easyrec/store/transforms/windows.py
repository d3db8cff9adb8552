"""`windows`: statistics of the rows of a key over the last days, at every full hour, day, ...

A row counts at a moment where it was known before it, and its event time lies in the span before it: at T, over W,
``T - W <= event < T`` and ``max(event, created) < T``. So what happens at T or later changes nothing, and neither does a
row that comes late before it has come.

Rows are first added up by key and step of `every`; these sums are spread over the moments at which they count.
"""

# ruff: noqa: S608 (statements are made of quoted names and of numbers)

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, field_validator, model_validator
from typing_extensions import Self

from easyrec.errors import DataError, nearest
from easyrec.store.duck import micros, quoted, require, text
from easyrec.store.duration import Duration, seconds_of
from easyrec.store.transforms import Input, Rows, Target, TransformConfig
from feature_generator.config import StrictModel, fault

Value: TypeAlias = bool | int | float | str
Statistics: TypeAlias = Literal["count", "sum", "mean", "min", "max", "std", "rate"]
STEP = "__step"


def _spans(value: Any) -> Any:
    """`7d` as a list of one, whose name is that of the feature alone."""
    return [value] if isinstance(value, str | int | float) else value


class _Windowed(StrictModel):
    """What is computed over spans of time."""

    name: str
    over: Annotated[list[str], BeforeValidator(_spans)] = Field(min_length=1)
    """Such as `7d`, or several: then features are called `<name>_7d` and so on."""
    where: dict[str, Value | list[Value]] = {}
    """Which rows count: by column a value, or a list of them."""

    @field_validator("over", mode="after")
    @classmethod
    def _lengths(cls, value: list[str]) -> list[str]:
        for one in value:
            seconds_of(one)
        return value

    @property
    def spans(self) -> dict[str, float]:
        """Seconds of each span, by the name of its feature."""
        several = len(self.over) > 1
        return {
            f"{self.name}_{re.sub('[ .]', '', one)}" if several else self.name: float(seconds_of(one))
            for one in self.over
        }


class Statistic(_Windowed):
    """A number of the rows of a key."""

    type: Statistics
    """`std` is that of the population; `rate` the share of rows whose value is true or not zero."""
    of: str | None = None
    """Column of its values; nulls do not count. `count` needs none."""

    @model_validator(mode="after")
    def _values(self) -> Self:
        if self.of is None and self.type != "count":
            raise ValueError(f"{self.type} is of a column: name it, of: <column>")
        return self


class Counts(_Windowed):
    """How many rows a key has of each value of a column: a map, the most frequent values first."""

    type: Literal["counts"]
    of: str
    top: int = Field(50, ge=1, le=10_000)
    """Most values kept."""


class TargetEncoding(_Windowed):
    """Mean of a label of the rows of a key, drawn to that of all keys where there are few.

    ``(sum + weight * mean of all) / (rows + weight)``, of labels that were known before.
    """

    type: Literal["target_encoding"]
    of: str
    """The label."""
    weight: float = Field(20.0, ge=0.0)
    """How many rows the mean of all keys counts for."""


class Ratio(StrictModel):
    """One feature by another one; null where it is divided by 0."""

    type: Literal["ratio"]
    name: str
    of: str
    by: str
    weight: float = Field(0.0, ge=0.0)
    """How many rows `prior` counts for: ``(of + weight * prior) / (by + weight)``."""
    prior: float = 0.0


class Rank(StrictModel):
    """Place of a key among all keys at the same moment: 1 has the greatest value, equal values share a place."""

    type: Literal["rank"]
    name: str
    of: str
    share: bool = False
    """From 0, the greatest, to 1 instead."""


Feature: TypeAlias = Annotated[Statistic | Counts | TargetEncoding | Ratio | Rank, Field(discriminator="type")]


class Config(TransformConfig):
    """Config of `windows`."""

    type: Literal["windows"] = "windows"
    input: Input
    """The rows: a view, a label table, or a table of its own."""
    key: str | None = None
    """The rows' column of ids; default: the entity's join id."""
    event_time: str | None = None
    """The rows' column of times; default: that of the view or label table."""
    created_time: str | None = None
    """The rows' column that says when they became known; default: that of the view or label table."""
    delay: Annotated[Duration, Field(ge=0.0)] = 0.0
    """How long after its time a row becomes known, such as a label that is waited for."""
    every: Annotated[Duration, Field(gt=0.0)] = 86_400.0
    """How far the moments lie apart, which are multiples of it since 1970."""
    features: list[Feature] = Field(min_length=1)

    @model_validator(mode="after")
    def _fit(self) -> Self:
        known: dict[str, Any] = {}
        for place, feature in enumerate(self.features):
            here = ("features", place)
            if isinstance(feature, Ratio | Rank):
                for key in ("of", "by") if isinstance(feature, Ratio) else ("of",):
                    name = getattr(feature, key)
                    if name not in known:
                        told = f"'{name}' is no feature before it{nearest(name, known)}"
                        raise fault(f"{told}; known: {', '.join(known) or 'none'}", *here, key)
                    if isinstance(known[name], Counts):
                        raise fault(f"'{name}' is no number", *here, key)
            for name, seconds in _named(feature).items():
                if name in known:
                    raise fault(f"two features are called '{name}'", *here, "name")
                known[name] = feature
                if seconds and seconds % self.every:
                    told = f"'{name}' is over {seconds:g} s, which is no multiple of every: {self.every:g} s"
                    raise fault(told, *here, "over")
        return self

    @property
    def reads(self) -> Mapping[str, Any]:
        """See the family's contract."""
        return {"input": self.input}

    @property
    def made(self) -> list[str]:
        """Names of the features."""
        return [name for feature in self.features for name in _named(feature)]

    def check(self, fields: Mapping[str, str], event_time: str | None) -> None:
        """See the family's contract."""
        if event_time is None:
            raise fault(
                "statistics change with time: name the column of times that the view's rows will have", "event_time"
            )
        for place, name in enumerate(fields):
            if name not in self.made:
                told = f"no feature is called like it{nearest(name, self.made)}; known: {', '.join(self.made)}"
                raise fault(told, "fields", place, "name")

    def select(self, db: Any, rows: Mapping[str, Rows], target: Target) -> str:
        """See the family's contract."""
        del db
        return _Query(self, rows["input"], target).text()


def _named(feature: Any) -> dict[str, float]:
    """Seconds of each feature that is made, by its name; 0 of one without."""
    return feature.spans if isinstance(feature, _Windowed) else {feature.name: 0.0}


class _Query:
    """The parts of the query of a config over rows."""

    def __init__(self, config: Config, rows: Rows, target: Target) -> None:
        self.config, self.rows, self.target = config, rows, target
        self.step = round(config.every * 1e6)
        self.longest = max(s for feature in config.features for s in _named(feature).values())
        self.partials: dict[tuple[str, str | None, str], str] = {}

    def text(self) -> str:
        config, target = self.config, self.target
        columns: dict[str, str] = {}
        for feature in config.features:
            columns |= dict(self._columns(feature))
        pieces = ", ".join(f"{expression} AS {quoted(name)}" for (_, _, expression), name in self.partials.items())
        head = ", ".join(f"{expression} AS {quoted(name)}" for name, expression in columns.items())
        parts = [
            f"events AS ({self._events()})",
            f"pieces AS (SELECT __key, __event, {STEP}, {pieces or '0 AS nothing'} FROM events GROUP BY ALL)",
            f"spread AS (SELECT *, unnest(range({STEP} + 1, __event + {self._steps(self.longest)} + 2)) AS __at FROM pieces)",
            f"ended AS (SELECT {self._until()} AS __end)",
            f"grouped AS (SELECT __key, __at, {head or '0 AS nothing'} FROM spread, ended WHERE __at <= __end "
            "GROUP BY __key, __at)",
        ]
        joins, chosen = "", [name for name in columns if not name.startswith("__")]
        for feature in config.features:
            if isinstance(feature, Counts):
                for name, seconds in feature.spans.items():
                    parts.append(f"{quoted(f'counts {name}')} AS ({self._counts(feature, name, seconds)})")
                    joins += f" LEFT JOIN {quoted(f'counts {name}')} USING (__key, __at)"
                    chosen.append(name)
        made = "SELECT __key, __at, " + ", ".join([*map(quoted, chosen), *self._encoded()])
        parts.append(f"windowed AS ({made} FROM grouped{joins})")
        last = "windowed"
        for place, feature in enumerate(config.features):
            if isinstance(feature, Ratio | Rank):
                parts.append(f"after{place} AS (SELECT *, {_after(feature)} AS {quoted(feature.name)} FROM {last})")
                last = f"after{place}"
        when = f"make_timestamp(__at * {self.step}) AT TIME ZONE 'UTC'"
        times = [f"{when} AS {quoted(name)}" for name in (target.event_time, target.created_time) if name]
        fields = ", ".join(quoted(name) for name in config.made)
        return f"WITH {', '.join(parts)} SELECT __key AS {quoted(target.join_id)}, {', '.join(times)}, {fields} FROM {last}"

    def _events(self) -> str:
        """Rows by key, with the steps of their event and of when they became known."""
        config, rows = self.config, self.rows
        key, event = config.key or self.target.join_id, config.event_time or rows.event_time
        created = config.created_time or rows.created_time
        if event is None:
            raise DataError("the rows have no event_time: name their column, event_time: <column>")
        used = {column for feature in config.features for column in _used(feature)}
        require(dict(rows.types), [key, event, *filter(None, [created]), *sorted(used)], "the rows have")
        when = micros(event, rows.types[event])
        known = f"{when} + {round(config.delay * 1e6)}"
        if created is not None:
            known = f"greatest({known}, {micros(created, rows.types[created])})"
        kept = "".join(f", {quoted(column)}" for column in sorted(used))
        shifts = "".join(
            f", min({{'s': __known, 'x': {quoted(column)}}}) FILTER ({quoted(column)} IS NOT NULL) OVER (PARTITION BY __key)"
            f".x AS {quoted(f'__first {column}')}"
            for column in sorted(
                {f.of for f in config.features if isinstance(f, Statistic) and f.type == "std" and f.of}
            )
        )
        given = (
            f"SELECT {quoted(key)} AS __key, {when} AS __when, {known} AS __known{kept} FROM {quoted(rows.name)} "
            f"WHERE {quoted(key)} IS NOT NULL AND __when IS NOT NULL AND "
            f"{quoted(created) if created else '__known'} IS NOT NULL"
        )
        steps = f"{self._floor('__when')} AS __event, {self._floor('__known')} AS {STEP}"
        return f"SELECT __key, {steps}{kept}{shifts} FROM ({given})"

    def _floor(self, value: str) -> str:
        return f"({value} // {self.step} - CASE WHEN {value} % {self.step} < 0 THEN 1 ELSE 0 END)"

    def _steps(self, seconds: float) -> int:
        return round(seconds * 1e6) // self.step

    def _until(self) -> str:
        if self.target.until is not None:
            return str(self.target.until // self.step)
        return f"(SELECT max({STEP}) + 1 FROM events)"

    def _partial(self, kind: str, of: str | None, where: Mapping[str, Any], expression: str) -> str:
        """Name of a sum of pieces, which features share."""
        condition = _condition(where, of)
        return self.partials.setdefault((kind, of, f"{expression}{condition}"), f"__p{len(self.partials)}")

    def _columns(self, feature: Any) -> Iterator[tuple[str, str]]:
        """Expressions over the pieces of a key and a moment, by the names of their features."""
        if not isinstance(feature, Statistic | TargetEncoding):
            return
        of, where = feature.of, feature.where
        value = "" if of is None else quoted(of)
        number = f"{value}::DOUBLE" if of is not None else ""
        rows = self._partial("rows", of, where, "count(*)")

        def over(function: str, partial: str, seconds: float) -> str:
            return f"{function}({quoted(partial)}) FILTER (__event >= __at - {self._steps(seconds)})"

        for name, seconds in feature.spans.items():
            count = f"coalesce({over('sum', rows, seconds)}, 0)"
            kind = feature.type
            if kind == "count":
                yield name, count
            elif kind in ("min", "max"):
                yield name, over(kind, self._partial(kind, of, where, f"{kind}({value})"), seconds)
            elif kind == "rate":
                true = self._partial("true", of, where, f"sum(CASE WHEN {number} <> 0 THEN 1 ELSE 0 END)")
                yield name, f"{over('sum', true, seconds)}::DOUBLE / nullif({count}, 0)"
            elif kind == "std":
                first = f"({number} - {quoted(f'__first {of}')}::DOUBLE)"
                one = over("sum", self._partial("off", of, where, f"sum({first})"), seconds)
                two = over("sum", self._partial("square", of, where, f"sum({first} * {first})"), seconds)
                square = f"{two} / nullif({count}, 0) - ({one} / nullif({count}, 0)) ** 2"
                yield name, f"sqrt(CASE WHEN {square} < 0 THEN 0 ELSE {square} END)"
            else:
                total = over(
                    "sum", self._partial("sum", of, where, f"sum({number if kind != 'sum' else value})"), seconds
                )
                if kind == "sum":
                    yield name, f"coalesce({total}, 0)"
                elif kind == "mean":
                    yield name, f"{total} / nullif({count}, 0)"
                else:
                    yield f"__sum {name}", f"coalesce({total}, 0)"
                    yield f"__rows {name}", count

    def _encoded(self) -> Iterator[str]:
        """Means of labels, which need those of all keys at the same moment."""
        for feature in self.config.features:
            if isinstance(feature, TargetEncoding):
                for name in feature.spans:
                    total, rows = quoted(f"__sum {name}"), quoted(f"__rows {name}")
                    mean = f"sum({total}) OVER (PARTITION BY __at) / nullif(sum({rows}) OVER (PARTITION BY __at), 0)"
                    made = f"({total} + {feature.weight!r} * ({mean})) / nullif({rows} + {feature.weight!r}, 0)"
                    yield f"{made} AS {quoted(name)}"

    def _counts(self, feature: Counts, name: str, seconds: float) -> str:
        """The map of a key and a moment."""
        value = quoted(feature.of)
        steps = self._steps(seconds)
        pieces = (
            f"SELECT __key, {value} AS __value, __event, {STEP}, count(*) AS n FROM events "
            f"WHERE {value} IS NOT NULL{_condition(feature.where, None, ' AND ')} GROUP BY ALL"
        )
        spread = f"SELECT *, unnest(range({STEP} + 1, __event + {steps} + 1)) AS __at FROM ({pieces})"
        summed = f"SELECT __key, __at, __value, sum(n)::BIGINT AS n FROM ({spread}) GROUP BY ALL"
        order = "ORDER BY n DESC, __value"
        ranked = (
            f"SELECT * FROM ({summed}) QUALIFY row_number() OVER (PARTITION BY __key, __at {order}) <= {feature.top}"
        )
        entries = f"list({{'k': __value, 'v': n}} {order})"
        return f"SELECT __key, __at, map_from_entries({entries}) AS {quoted(name)} FROM ({ranked}) GROUP BY __key, __at"


def _after(feature: Ratio | Rank) -> str:
    """The expression of a feature that is made of others."""
    of = quoted(feature.of)
    if isinstance(feature, Ratio):
        by = f"nullif({quoted(feature.by)} + {feature.weight!r}, 0)"
        return f"({of} + {feature.weight * feature.prior!r})::DOUBLE / {by}"
    place = "percent_rank()" if feature.share else "rank()"
    # nulls have no place, and take none from others
    return f"CASE WHEN {of} IS NOT NULL THEN {place} OVER (PARTITION BY __at, {of} IS NULL ORDER BY {of} DESC) END"


def _used(feature: Any) -> list[str]:
    """Columns of the rows that a feature reads."""
    return (
        [*filter(None, [feature.of]), *feature.where]
        if isinstance(feature, Statistic | Counts | TargetEncoding)
        else []
    )


def _condition(where: Mapping[str, Value | Sequence[Value]], of: str | None, before: str = " FILTER (") -> str:
    """The clause that says which rows count."""
    tests = [f"{quoted(of)} IS NOT NULL"] if of is not None else []
    for column, value in where.items():
        values = value if isinstance(value, list) else [value]
        tests.append(f"{quoted(column)} IN ({', '.join(map(_literal, values))})")
    if not tests:
        return ""
    return before + " AND ".join(tests) + (")" if before.endswith("(") else "")


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return text(value) if isinstance(value, str) else repr(value)
