"""duckdb: connections, the names and texts of its SQL, and times as columns of it hold them."""

# ruff: noqa: S608 (statements are made of quoted names and of numbers)

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from easyrec.errors import ConfigError, DataError, EasyRecError, MissingExtra, nearest
from easyrec.store.codec import FIRST_S, LAST_S, other_unit
from feature_generator.errors import OutputError

UNWRITTEN = re.compile(r'Could not write (?:all bytes to )?file \\*"(.+?)\\*": ([^\\"]+)')
"""What duckdb says where a disk refuses: the file, and the system's words."""
WATCHED_SECONDS = 0.2
WHOLE = ("BIGINT", "INTEGER", "UINTEGER")
"""Types whose times are whole seconds since 1970."""


def connection(threads: int | None = None, memory: str | None = None) -> Any:
    """A database in memory whose times are in UTC.

    Args:
        threads: Default: all processors.
        memory: Bound such as `4GB`; what does not fit goes to disk.

    Raises:
        MissingExtra: duckdb is not installed.
    """
    try:
        import duckdb  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError:
        raise MissingExtra("duckdb", "store") from None
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    db.execute("SET python_enable_replacements = false")  # names are tables, never variables of this program
    if threads is not None:
        db.execute(f"SET threads = {int(threads)}")
    if memory is not None:
        try:
            db.execute(f"SET memory_limit = {text(memory)}")
        except Exception as error:
            if not of_duckdb(error):
                raise
            raise ConfigError(f"--memory: must be a size such as 512MB or 8GB, but is '{memory}'") from None
    return db


def quoted(name: str) -> str:
    """A name as SQL takes it, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A text as SQL takes it, whatever it holds."""
    return "'" + value.replace("'", "''") + "'"


@contextlib.contextmanager
def told(what: str, file: str = "") -> Iterator[None]:
    """What duckdb says of a statement is an error of ours.

    Args:
        what: What went wrong, such as `cannot be read`.
        file: Where.

    Raises:
        DataError: In the place of errors of duckdb, whose classes cannot be named where it is not installed.
    """
    try:
        yield
    except Exception as error:
        if not of_duckdb(error):
            raise
        if "OutOfMemory" in type(error).__name__:
            raise _too_little(error) from None
        unwritten = UNWRITTEN.search(str(error))
        if unwritten is not None:
            raise OutputError(f"cannot write {_meant(unwritten[1])}: {unwritten[2]}") from None
        raise DataError(f"{what}: {said(error)}" if what else said(error), file=file) from None


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """What duckdb says of any other statement: of memory and disk, or of values that only it has seen.

    Raises:
        DataError: Values do not fit.
        EasyRecError: Memory or disk does not suffice.
    """
    with told(""):
        yield


def of_duckdb(error: Exception) -> bool:
    """Whether duckdb raised it; its classes cannot be named where it is not installed."""
    return type(error).__module__.startswith(("duckdb", "_duckdb"))


def said(error: Exception) -> str:
    """The first line of what duckdb says, without the kind of its error where that is ours."""
    return str(error).splitlines()[0][:300].removeprefix("Invalid Input Error: ")


def _meant(path: str) -> str:
    """The file that is written beside its place under another name until it is whole."""
    name = Path(path).name
    whole = name.startswith(".") and name.endswith(".writing")
    return str(Path(path).with_name(name[1 : -len(".writing")])) if whole else path


def _too_little(error: Exception) -> EasyRecError:
    return EasyRecError(f"duckdb has too little memory: {said(error)}\ngive it more by --memory, or fewer --threads")


@contextlib.contextmanager
def watched(db: Any, progress: Callable[[float], None] | None) -> Iterator[None]:
    """Tell now and then how far duckdb is with the statement that it runs, from 0 to 1."""
    if progress is None:
        yield
        return
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(WATCHED_SECONDS):
            progress(max(0.0, db.query_progress()) / 100)

    watcher = threading.Thread(target=watch, name="duckdb progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def types_of(db: Any, name: str) -> dict[str, str]:
    """Type of each column of a table."""
    return {row[0]: row[1] for row in db.execute(f"DESCRIBE SELECT * FROM {quoted(name)}").fetchall()}


def require(types: dict[str, str], names: Sequence[str], whose: str) -> None:
    """Check that a table has columns.

    Args:
        types: Those that it has.
        names: Those that are read.
        whose: Who lacks it, such as `the spine has`.

    Raises:
        DataError: One is missing; names the nearest one.
    """
    for name in names:
        if name not in types:
            known = ", ".join(list(types)[:20])
            raise DataError(f"{whose} no such column{nearest(name, types)}\nknown: {known}", column=name)


def micros(name: str, kind: str) -> str:
    """A time in microseconds since 1970; whole numbers are seconds.

    Raises:
        DataError: The column holds no times.
    """
    column = quoted(name)
    if kind.startswith("TIMESTAMP") or kind == "DATE":
        return f"epoch_us({column if kind != 'DATE' else f'CAST({column} AS TIMESTAMP)'})"
    if kind in WHOLE:
        return f"{column}::BIGINT * 1000000"
    raise DataError(f"holds {kind}, but a time is a timestamp, a date, or whole seconds", column=name)


def check_times(db: Any, table: str, name: str, kind: str, whose: str) -> None:
    """Check that whole numbers are seconds since 1970, and not milliseconds: these would lie behind all other times.

    Args:
        db: The connection.
        table: Its name.
        name: The column.
        kind: Its type.
        whose: Such as `view 'profile'`.

    Raises:
        DataError: They are not.
    """
    if kind not in WHOLE:
        return
    column = quoted(name)
    for value in db.execute(f"SELECT min({column}), max({column}) FROM {quoted(table)}").fetchall()[0]:
        if value is not None and not FIRST_S <= value <= LAST_S:
            outside = f"{value} seconds since 1970 lie outside of the years 1 to 9999{other_unit(value)}"
            raise DataError(f"{whose}: {outside}", column=name)


def check_ids(name: str, kind: str, whose: str) -> None:
    """Check that a column may be ids.

    Raises:
        DataError: It holds fractions, of which 7.0 would not be the id 7.
    """
    if kind in ("DOUBLE", "FLOAT") or kind.startswith("DECIMAL") or "[" in kind or "(" in kind:
        raise DataError(f"{whose}: ids are texts or whole numbers, but these are {kind}", column=name)


def cast(column: str, found: str, wanted: str, name: str) -> str:
    """A column as the type that its field has, as the online store holds it; what does not fit is an error.

    Args:
        column: As SQL says it.
        found: Its type.
        wanted: The type of duckdb that the field has.
        name: Of the field, for errors.
    """
    if found == wanted:
        return column
    if wanted in ("BIGINT", "INTEGER") and (found in ("DOUBLE", "FLOAT") or found.startswith("DECIMAL")):
        whole = f"{column} = trunc({column}) AND isfinite({column}::DOUBLE)"
        unfit = f"error(concat({text(f'field {name}: ')}, {column}, {text(f' is no {wanted}')}))"
        return f"CASE WHEN {column} IS NULL OR ({whole}) THEN CAST({column} AS {wanted}) ELSE {unfit} END"
    if wanted == "TIMESTAMP WITH TIME ZONE" and found in WHOLE:
        return f"make_timestamp({column}::BIGINT) AT TIME ZONE 'UTC'"
    return f"CAST({column} AS {wanted})"


def moment(kind: str, value: int) -> str:
    """Microseconds since 1970 as a column of this type holds them, so that files whose statistics exclude them are not read."""
    if kind in WHOLE:
        return str(value // 1_000_000)
    made = f"make_timestamp({value}::BIGINT)"
    return f"{made} AT TIME ZONE 'UTC'" if "WITH TIME ZONE" in kind else made


def type_of(kind: pa.DataType) -> str:
    """The type of duckdb that holds what an Arrow type of a view's field holds."""
    if pa.types.is_map(kind):
        return f"MAP({type_of(kind.key_type)}, {type_of(kind.item_type)})"
    if pa.types.is_fixed_size_list(kind):
        return f"{type_of(kind.value_type)}[{kind.list_size}]"
    if pa.types.is_list(kind):
        return f"{type_of(kind.value_type)}[]"
    return SCALARS[kind]


SCALARS = {
    pa.bool_(): "BOOLEAN",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
    pa.timestamp("us", "UTC"): "TIMESTAMP WITH TIME ZONE",
}
