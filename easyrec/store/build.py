"""Views with a transform: their rows, made by duckdb and written to where their source says."""

# ruff: noqa: S608 (statements are made of quoted names and of queries that were looked at)

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa

from easyrec.errors import ConfigError, DataError, StoreError
from easyrec.store.codec import arrow_type
from easyrec.store.definitions import LabelTable, StoreConfig, View
from easyrec.store.duck import (
    answered,
    check_times,
    connection,
    micros,
    quoted,
    require,
    text,
    told,
    type_of,
    types_of,
    watched,
)
from easyrec.store.offline.parquet import Config as Parquet
from easyrec.store.transforms import Rows, Target, TransformConfig
from feature_generator.whole_file import whole_file

BATCH_ROWS = 1 << 16
TIMES = ("event_time", "created_time")
"""Keys of a transform, or of what it reads, that name columns of times."""
MARK = "easyrec_view"
"""Key of a file's metadata that tells which view it was built of."""


@dataclass(frozen=True)
class Built:
    """What was made of a view.

    Attributes:
        view: Its name.
        rows: How many there are.
        path: Where they are.
        seconds: What it took.
    """

    view: str
    rows: int
    path: str
    seconds: float


def build(
    config: StoreConfig,
    name: str,
    *,
    until: datetime | None = None,
    threads: int | None = None,
    memory: str | None = None,
    progress: Callable[[float], None] | None = None,
) -> Built:
    """Make the rows of a view by its transform; what was there before is replaced when all are there.

    Args:
        config: What is defined.
        name: Of the view.
        until: Statistics end here, UTC where it names no zone; default: with the rows that they are of.
        threads: Of duckdb; default: all processors.
        memory: Bound of duckdb, such as `4GB`; what does not fit goes to disk.
        progress: Told the share that is done.

    Raises:
        ConfigError: The transform's query is not allowed.
        DataError: There is nothing to read, a column is missing, or values do not fit the fields' types.
        OutputError: The disk refuses.
        StoreError: The view has no transform, or something else lies where its rows would be written.
    """
    begun, view = time.perf_counter(), config.view(name)
    if view.transform is None or view.source is None:
        raise StoreError(f"view '{name}' has no transform: its rows are made by somebody else")
    ends = None if until is None else until if until.tzinfo else until.replace(tzinfo=timezone.utc)
    db = connection(threads, memory)
    try:
        with answered(), watched(db, progress):
            view.source.register(db)
            _refuse_others(db, view.source, name)
            rows = _write(db, view.source, _query(db, config, view, view.transform, ends), name)
        return Built(name, rows, view.source.path, time.perf_counter() - begun)
    finally:
        db.close()


def newest_rows(config: StoreConfig, name: str, memory: str | None = None) -> Iterator[pa.RecordBatch]:
    """The last row of each key of a view, for publishing: what requests read now.

    Raises:
        DataError: There is nothing to read, or a column is missing.
        StoreError: The view does not say where its rows lie.
    """
    view = config.view(name)
    if view.source is None:
        raise StoreError(f"view '{name}' says not where its rows lie: give it a source")
    join_id = config.entity(view.entity).join_id
    columns = list(dict.fromkeys([join_id, *view.types, *filter(None, [view.event_time, view.created_time])]))
    db = connection(memory=memory)
    try:
        view.source.scan(db, "rows")
        types = types_of(db, "rows")
        require(types, columns, f"the rows of view '{name}' have")
        for when in filter(None, (view.event_time, view.created_time)):
            check_times(db, "rows", when, types[when], f"view '{name}'")
        order = [micros(when, types[when]) for when in (view.event_time, view.created_time) if when is not None]
        last = ", ".join(f"{one} DESC NULLS LAST" for one in [*order, "__row"])
        numbered = f"SELECT {', '.join(map(quoted, columns))}, row_number() OVER () AS __row FROM rows"
        query = (
            f"SELECT * EXCLUDE (__row) FROM ({numbered}) WHERE {quoted(join_id)} IS NOT NULL "
            f"QUALIFY row_number() OVER (PARTITION BY {quoted(join_id)} ORDER BY {last}) = 1"
        )
        yield from db.sql(query).to_arrow_reader(BATCH_ROWS)
    finally:
        db.close()


def _query(db: Any, config: StoreConfig, view: View, transform: TransformConfig, until: datetime | None) -> str:
    """The rows of a view, with the types of its fields."""
    rows = {name: _rows(db, config, name, given, transform) for name, given in transform.reads.items()}
    join_id = config.entity(view.entity).join_id
    ends = None if until is None else round(until.timestamp() * 1e6)
    target = Target(join_id, view.event_time, view.created_time, tuple(view.types), ends)
    query = transform.select(db, rows, target)
    with told(f"view '{view.name}' cannot be built"):
        found = {row[0]: row[1] for row in db.execute(f"DESCRIBE {query}").fetchall()}
    times = list(filter(None, [view.event_time, view.created_time]))
    require(found, [join_id, *times, *view.types], f"what is built for view '{view.name}' has")
    own = [name for name in [join_id, *times] if name not in view.types]
    for name, kind in view.types.items():
        if kind in ("int32", "int64") and (found[name] in ("DOUBLE", "FLOAT") or _fractions(found[name])):
            told_ = f"field '{name}' of view '{view.name}' is {kind}, but what is built for it is {found[name].lower()}"
            raise ConfigError(f"{told_}, which has fractions: let it be double")
    fields = [
        f"CAST({quoted(name)} AS {type_of(arrow_type(kind))}) AS {quoted(name)}" for name, kind in view.types.items()
    ]
    ordered = f" ORDER BY {', '.join(map(quoted, [*times[:1], join_id]))}" if times else ""
    return f"SELECT {', '.join([*map(quoted, own), *fields])} FROM ({query}){ordered}"


def _rows(db: Any, config: StoreConfig, name: str, given: Any, transform: TransformConfig) -> Rows:
    """A table that is read, as the view of duckdb of this name."""
    event_time = created_time = None
    source: Any = given
    if isinstance(given, str):
        found: View | LabelTable = next((label for label in config.labels if label.name == given), None) or config.view(
            given
        )
        source, event_time, created_time = found.source, found.event_time, found.created_time
        if source is None:
            raise StoreError(f"view '{given}' says not where its rows lie: give it a source")
    source.scan(db, name)
    types = types_of(db, name)
    for when in filter(None, {event_time, created_time, *(getattr(transform, key, None) for key in TIMES)}):
        if when in types:
            check_times(db, name, when, types[when], f"'{given}'" if isinstance(given, str) else "the input")
    return Rows(name, types_of(db, name), event_time, created_time)


def _fractions(kind: str) -> bool:
    return kind.startswith("DECIMAL") and not kind.endswith(",0)")


def _refuse_others(db: Any, source: Parquet, view: str) -> None:
    """Check that nothing will be replaced but what was built of the same view.

    Raises:
        StoreError: There is something else.
    """
    if not source.scheme and source.is_folder and Path(source.path).is_dir():
        for other in sorted(Path(source.path).iterdir()):
            if other.suffix != ".parquet":
                told_ = f"{other} was not built of view '{view}', and would be replaced: name another path"
                raise StoreError(told_)
    with told("cannot be looked at", source.path):
        files = [row[0] for row in db.execute(f"SELECT file FROM glob({text(source.pattern)})").fetchall()]
    for file in files:
        made: list[Any] = []
        with contextlib.suppress(DataError), told("is no parquet file", file):
            made = db.execute(
                f"SELECT decode(value) FROM parquet_kv_metadata({text(file)}) WHERE decode(key) = {text(MARK)}"
            ).fetchall()
        if len(files) > 1 or made != [(view,)]:
            raise StoreError(f"{file} was not built of view '{view}', and would be replaced: name another path")


def _write(db: Any, source: Parquet, query: str, view: str) -> int:
    """Write rows to where a source will find them."""
    options = f"FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{MARK}: {text(view)}}}"
    if source.scheme:
        # an object is there whole or not at all
        name = f"{source.path.rstrip('/')}/0.parquet" if source.is_folder else source.path
        return _copied(db, query, name, options, view)
    path = Path(source.path)
    if not source.is_folder:
        with whole_file(path, overwrite=True) as partial:
            return _copied(db, query, str(partial), f"{options}, USE_TMP_FILE false", view)
    partial, former = (path.with_name(f".{path.name}.{what}") for what in ("writing", "former"))
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        rows = _copied(db, query, str(partial / "0.parquet"), options, view)
        if path.exists():
            shutil.rmtree(former, ignore_errors=True)
            path.rename(former)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)
    return rows


def _copied(db: Any, query: str, path: str, options: str, view: str) -> int:
    with told(f"view '{view}' cannot be made"):
        return int(db.execute(f"COPY ({query}) TO {text(path)} ({options})").fetchall()[0][0])
