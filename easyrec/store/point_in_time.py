"""Training sets: to each row of a spine the features as they were known at its time.

Of a view a row counts at time t where its event time and its created time are not after t; of those of a key the one with
the latest event time is taken, of several the one created last, of these the last in the table. It is null where that row
is older than the view's ttl. Rows of the spine are never dropped nor repeated. Sequences are of events before t.
"""

# ruff: noqa: S608 (statements are made of quoted names and of numbers)

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easyrec.errors import DataError, MissingExtra, StoreError, nearest
from easyrec.store.definitions import StoreConfig, View
from easyrec.store.offline import quoted, text
from easyrec.store.replay import replayed

if TYPE_CHECKING:
    import pyarrow as pa

ROW, WHEN, KEY, ORDER = "__row", "__when", "__key", "__order"
SHIFT = 40
"""Bits below a time that tell rows of one time apart."""


@dataclass(frozen=True)
class TrainingSet:
    """What was made.

    Attributes:
        rows: As many as the spine has.
        columns: Of the spine, then the features.
        seconds: What it took.
        table: The rows; None where they were written into a file.
    """

    rows: int
    columns: list[str]
    seconds: float
    table: pa.Table | None


def training_set(
    config: StoreConfig,
    model: str,
    spine: pa.Table | str | Path,
    output: str | Path | None = None,
    *,
    event_time: str = "event_time",
    threads: int | None = None,
    memory: str | None = None,
) -> TrainingSet:
    """Join the features of a model to a spine, each as it was known at the row's time.

    Args:
        config: What is defined; views say where their rows lie (`source`).
        model: Whose features.
        spine: Rows with the join ids and a time: a table, or parquet files. All of its columns are kept.
        output: Parquet file to write; it is there whole or not at all. None: the rows are returned.
        event_time: The spine's column of times.
        threads: Of duckdb; default: all processors.
        memory: Bound of duckdb, such as `4GB`; what does not fit goes to disk.

    Raises:
        DataError: The spine or a view lacks a column, or a time of the spine is null.
        MissingExtra: duckdb is not installed.
        StoreError: There is no such model, a view has no source, or a column of the spine is called like a feature.
    """
    begun = time.perf_counter()
    try:
        columns = config.columns(config.model(model))
    except ValueError as error:
        raise StoreError(str(error)) from None
    db = _connection(threads, memory)
    try:
        names = _spine(db, spine, event_time, columns)
        low, high, rows, nulls = db.execute(
            f"SELECT min({WHEN}), max({WHEN}), count(*), count(*) FILTER ({WHEN} IS NULL) FROM spine"
        ).fetchone()
        if nulls:
            raise DataError(f"{nulls:,} of {rows:,} rows have no time", column=event_time)
        views = list({view.name: view for view, _ in columns.values()}.values())
        joins, chosen = [], [f"s.{quoted(name)}" for name in names]
        for place, view in enumerate(views):
            own = {name: field for name, (of, field) in columns.items() if of.name == view.name}
            join_id = config.entity(view.entity).join_id
            if join_id not in names:
                told = f"view '{view.name}' is joined by it{nearest(join_id, names)}; the spine has: {', '.join(names[:20])}"
                raise DataError(told, column=join_id)
            if not rows:
                low = high = 0
            join = _join if view.events is None else _replay
            joins.append(join(db, view, f"v{place}", join_id, list(dict.fromkeys(own.values())), (low, high)))
            chosen += [_field(view, f"v{place}", field, name) for name, field in own.items()]
        query = f"SELECT {', '.join(chosen)} FROM spine s {' '.join(joins)} ORDER BY s.{ROW}"
        table = None
        if output is None:
            table = db.sql(query).to_arrow_table()
            made = table.num_rows
        else:
            made = _written(db, query, Path(output))
        if made != rows:
            raise StoreError(
                f"the training set has {made:,} rows, but the spine {rows:,}: this is a fault of the program"
            )
        return TrainingSet(rows, [*names, *columns], time.perf_counter() - begun, table)
    finally:
        db.close()


def _connection(threads: int | None, memory: str | None) -> Any:
    try:
        import duckdb  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError:
        raise MissingExtra("duckdb", "store") from None
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    if threads is not None:
        db.execute(f"SET threads = {int(threads)}")
    if memory is not None:
        db.execute(f"SET memory_limit = {text(memory)}")
    return db


def _spine(db: Any, spine: Any, event_time: str, columns: Any) -> list[str]:
    """Name the spine `spine`, with its rows numbered and its times in microseconds; give its own columns."""
    if isinstance(spine, (str, Path)):
        from easyrec.store.offline.parquet import Config  # noqa: PLC0415 (its scan is the same)

        Config(path=str(spine)).scan(db, "given")
    else:
        db.register("given", spine)
    types = _types(db, "given")
    if event_time not in types:
        told = f"the spine has no such column{nearest(event_time, types)}; it has: {', '.join(list(types)[:20])}"
        raise DataError(told, column=event_time)
    both = [name for name in types if name in columns]
    if both:
        raise StoreError(
            f"column '{both[0]}' of the spine is called like a feature of the model: give one another name"
        )
    when = _micros(event_time, types[event_time])
    db.execute(
        f"CREATE OR REPLACE TEMP VIEW spine AS SELECT *, {when} AS {WHEN}, row_number() OVER () AS {ROW} FROM given"
    )
    return list(types)


def _join(db: Any, view: View, alias: str, join_id: str, fields: Sequence[str], spine: tuple[int, int]) -> str:
    """The clause that joins a view to the spine."""
    db_name, types = _scanned(db, view, [join_id, *fields])
    key, own = f"s.{quoted(join_id)}", quoted(join_id)
    if _types(db, "spine")[join_id] != types[join_id]:
        key, own = f"CAST({key} AS VARCHAR)", f"CAST({own} AS VARCHAR)"
    kept = ", ".join(quoted(field) for field in fields)
    table = f"{quoted(db_name)}"
    if view.event_time is None:
        last = f"SELECT {own} AS {KEY}, {kept}, row_number() OVER () AS {ORDER} FROM {table}"
        source = f"(SELECT * FROM ({last}) QUALIFY row_number() OVER (PARTITION BY {KEY} ORDER BY {ORDER} DESC) = 1)"
        return f"LEFT JOIN {source} {alias} ON {key} = {alias}.{KEY}"
    event = _micros(view.event_time, types[view.event_time])
    bounds = _bounds(view, types, spine, view.ttl_micros)
    rows = f"SELECT {own} AS {KEY}, {kept}, {event} AS {WHEN}, row_number() OVER () AS {ROW}"
    if view.created_time is None:
        ordered = f"SELECT *, ({WHEN}::HUGEINT << {SHIFT}) + {ROW} AS {ORDER} FROM ({rows} FROM {table} WHERE {' AND '.join(bounds)})"
    else:
        created = _micros(view.created_time, types[view.created_time])
        ordered = _as_known(f"{rows}, {created} AS __created FROM {table} WHERE {' AND '.join(bounds)}")
    until = f"(s.{WHEN}::HUGEINT << {SHIFT}) + {(1 << SHIFT) - 1}"
    return f"ASOF LEFT JOIN ({ordered}) {alias} ON {key} = {alias}.{KEY} AND {until} >= {alias}.{ORDER}"


def _replay(db: Any, view: View, alias: str, join_id: str, columns: Sequence[str], spine: tuple[int, int]) -> str:
    """The clause that joins the sequences of a view to the spine."""
    assert view.events is not None
    assert view.event_time is not None
    db_name, types = _scanned(db, view, [join_id, *view.held])
    ages = [sequence.ttl or view.ttl for sequence in view.events.sequences]
    oldest = round(max(age for age in ages if age is not None) * 1e6) if None not in ages else 0
    event = _micros(view.event_time, types[view.event_time])
    known = view.created_time or view.event_time
    kept = ", ".join(map(quoted, view.held))
    key = f"CAST({quoted(join_id)} AS VARCHAR)"
    bounds = " AND ".join(_bounds(view, types, spine, oldest))
    events = (
        f"SELECT {key} AS {KEY}, {event} AS {WHEN}, {_micros(known, types[known])} AS __known, "
        f"row_number() OVER () AS __place, {kept} FROM {quoted(db_name)} WHERE {bounds}"
    )
    moments = f"SELECT {key} AS {KEY}, {WHEN}, {ROW} FROM spine"
    made = f"sequences of {view.name}"
    replayed(db, view, made, columns, events, moments)
    return f"LEFT JOIN {quoted(made)} {alias} ON s.{ROW} = {alias}.{ROW}"


def _scanned(db: Any, view: View, columns: Sequence[str]) -> tuple[str, dict[str, str]]:
    """What the rows of a view are called from now on, and the types of their columns."""
    if view.source is None:
        raise StoreError(f"view '{view.name}' says not where its rows lie: give it a source")
    db_name = f"rows of {view.name}"
    view.source.scan(db, db_name)
    types = _types(db, db_name)
    for name in [*columns, *filter(None, [view.event_time, view.created_time])]:
        if name not in types:
            told = f"the rows of view '{view.name}' have no such column{nearest(name, types)}"
            raise DataError(f"{told}; they have: {', '.join(list(types)[:20])}", column=name)
    return db_name, types


def _bounds(view: View, types: dict[str, str], spine: tuple[int, int], ttl: int) -> list[str]:
    """Conditions that leave out rows which no row of the spine sees; microseconds, a ttl of 0 is for ever."""
    low, high = spine
    assert view.event_time is not None
    bounds = [_not_after(view.event_time, types[view.event_time], high)]
    if ttl:
        bounds.append(_not_before(view.event_time, types[view.event_time], low - ttl))
    if view.created_time is not None:
        bounds.append(_not_after(view.created_time, types[view.created_time], high))
    return bounds


def _as_known(rows: str) -> str:
    """Of the rows of a key, in the order in which they became known, those that are the latest when they become it."""
    seen = f"greatest({WHEN}, __created)"
    rank = f"{{'e': {WHEN}, 'c': __created, 'r': {ROW}}}"
    window = f"(PARTITION BY {KEY} ORDER BY {seen}, {WHEN}, __created, {ROW} ROWS UNBOUNDED PRECEDING)"
    return (
        f"SELECT *, ({seen}::HUGEINT << {SHIFT}) + row_number() OVER (PARTITION BY {KEY} ORDER BY {seen}, {WHEN}, __created, {ROW}) "
        f"AS {ORDER} FROM ({rows}) QUALIFY max({rank}) OVER {window} = {rank}"
    )


def _field(view: View, alias: str, field: str, name: str) -> str:
    value = f"{alias}.{quoted(field)}"
    if view.events is not None:
        return f"coalesce({value}, []) AS {quoted(name)}"
    if view.ttl is not None:
        value = f"CASE WHEN s.{WHEN} - {alias}.{WHEN} <= {view.ttl_micros} THEN {value} END"
    return f"{value} AS {quoted(name)}"


def _types(db: Any, name: str) -> dict[str, str]:
    return {row[0]: row[1] for row in db.execute(f"DESCRIBE SELECT * FROM {quoted(name)}").fetchall()}


def _micros(name: str, kind: str) -> str:
    """A time in microseconds since 1970; whole numbers are seconds."""
    column = quoted(name)
    if kind.startswith("TIMESTAMP") or kind == "DATE":
        return f"epoch_us({column if kind != 'DATE' else f'CAST({column} AS TIMESTAMP)'})"
    if kind in ("BIGINT", "INTEGER", "UINTEGER"):
        return f"{column}::BIGINT * 1000000"
    raise DataError(f"holds {kind}, but a time is a timestamp, a date, or whole seconds", column=name)


def _not_after(name: str, kind: str, micros: int) -> str:
    return f"{quoted(name)} <= {_literal(kind, micros)}"


def _not_before(name: str, kind: str, micros: int) -> str:
    return f"{quoted(name)} >= {_literal(kind, micros)}"


def _literal(kind: str, micros: int) -> str:
    """A time as a column of this type holds it, so that files whose statistics exclude it are not read."""
    if kind in ("BIGINT", "INTEGER", "UINTEGER"):
        return str(micros // 1_000_000)
    made = f"make_timestamp({micros}::BIGINT)"
    return f"{made} AT TIME ZONE 'UTC'" if "WITH TIME ZONE" in kind else made


def _written(db: Any, query: str, output: Path) -> int:
    partial = output.with_name(f".{output.name}.writing")
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        rows = db.execute(f"COPY ({query}) TO {text(str(partial))} (FORMAT parquet, COMPRESSION zstd)").fetchone()[0]
        partial.replace(output)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return int(rows)
