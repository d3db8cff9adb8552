"""What a log says was served: of the reads of a model, or of the requests that `easyrec serve` keeps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from easyrec.errors import DataError
from easyrec.store.codec import micros
from easyrec.store.definitions import StoreConfig
from easyrec.store.read_log import SUFFIX, TIME

SIDES = ("user", "context", "item")


@dataclass(frozen=True)
class Served:
    """What was served of an entity.

    Attributes:
        join_id: What its ids are called.
        keys: (n,) ids.
        times: (n,) int64: when they were read, microseconds since 1970.
        features: (n,) columns, by the names that the model knows.
        definitions: Which definitions held, see `easyrec.store.read_log.digest`; empty: the log does not say.
    """

    join_id: str
    keys: pa.Array
    times: np.ndarray
    features: pa.Table
    definitions: set[str]


def served(config: StoreConfig, model: str, path: Path, time: str | None = None) -> list[Served]:
    """What a log says was served, by entity.

    Args:
        config: What is defined.
        model: Whose features.
        path: A file of a log, or its folder.
        time: Column of a request that says when its features were read; default: when it was logged.

    Raises:
        DataError: There is no log, it is of another model, or it has none of the ids and features.
    """
    columns = config.columns(config.model(model))
    own = {
        entity.join_id: [name for name, (view, _) in columns.items() if view.entity == entity.name]
        for entity in config.entities
    }
    found: dict[tuple[str, tuple[str, ...]], tuple[list[pa.Table], set[str]]] = {}
    for told, table in _tables(path):
        reads = told.get("easyrec") == "reads"
        if reads and told.get("model") != model:
            continue
        for join_id, names in own.items():
            part = _of_reads(table, join_id, names) if reads else _of_requests(table, told, join_id, names, time)
            if part is None:
                continue
            tables, digests = found.setdefault((join_id, tuple(part.column_names)), ([], set()))
            tables.append(part)
            digests.update(filter(None, [told.get("definitions", "")]))
    if not found:
        ids = ", ".join(name for name, names in own.items() if names)
        raise DataError(f"holds no row with the features of model '{model}' and an id of: {ids}", file=str(path))
    made = []
    for (join_id, own_columns), (tables, digests) in found.items():
        whole = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
        keys, times = whole[join_id].combine_chunks(), whole[TIME].combine_chunks()
        when = micros(pa.RecordBatch.from_arrays([times], [TIME]), TIME)
        features = whole.select([name for name in own_columns if name not in (join_id, TIME)])
        made.append(Served(join_id, keys, when, features, digests))
    return made


def _of_reads(table: pa.Table, join_id: str, names: list[str]) -> pa.Table | None:
    if join_id not in table.column_names:
        return None
    return table.select([TIME, join_id, *(name for name in names if name in table.column_names)])


def _of_requests(
    table: pa.Table, told: dict[str, str], join_id: str, names: list[str], time: str | None
) -> pa.Table | None:
    """The rows of an entity: one of a request where the user or the context has its id, else one of each candidate."""
    side = next((side for side in SIDES if f"{side}:{join_id}" in table.column_names), None)
    redacted = set(told.get("redacted", "").split(","))
    if side is None or join_id in redacted:
        return None
    there = [name for name in names if f"{side}:{name}" in table.column_names and name not in redacted]
    if not there:
        return None
    when = table[TIME]
    if time is not None:
        place = next((f"{one}:{time}" for one in SIDES[:2] if f"{one}:{time}" in table.column_names), None)
        if place is None:
            raise DataError("requests have no such column of the user or the context", column=time)
        when = table[place]
    columns = {name: table[f"{side}:{name}"].combine_chunks() for name in [join_id, *there]}
    if side == "item":
        when = when.combine_chunks().take(pc.list_parent_indices(columns[join_id]))
        columns = {name: pc.list_flatten(column) for name, column in columns.items()}
    return pa.table({TIME: when, **columns})


def _tables(path: Path) -> Iterator[tuple[dict[str, str], pa.Table]]:
    """Each file of a log: what it says of itself, and its rows up to the last whole one."""
    files = sorted(path.rglob(f"*{SUFFIX}")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise DataError("holds no log", file=str(path))
    for file in files:
        if file.stat().st_size == 0:
            continue
        with file.open("rb") as opened:
            try:
                reader = pa.ipc.open_stream(opened)
            except (pa.ArrowException, OSError) as error:
                raise DataError(f"is no log: {error}", file=str(file)) from None
            told = {key.decode(): value.decode() for key, value in (reader.schema.metadata or {}).items()}
            if TIME not in reader.schema.names:
                raise DataError("is no log of reads or of requests", file=str(file), column=TIME)
            batches: list[pa.RecordBatch] = []
            with contextlib.suppress(OSError, pa.ArrowException):  # a killed process left it so
                batches.extend(reader)
            yield told, pa.Table.from_batches(batches, reader.schema).replace_schema_metadata(None)
