"""Vectors that `easyrec embed` made, as rows of an embedding view."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from easyrec.errors import ConfigError, DataError
from easyrec.retrieval.items import Items, parts_of, vectors_of

if TYPE_CHECKING:
    from easyrec.store.definitions import View


def embedded(folder: Path, view: View, join_id: str) -> tuple[str, Iterator[pa.RecordBatch]]:
    """The digest of the model that made the vectors of a folder, and the rows.

    Args:
        folder: What `easyrec embed` wrote.
        view: Of type embedding; its other fields are attributes of the items.
        join_id: What the ids are called in the store.

    Raises:
        ConfigError: The view is none of vectors.
        DataError: The vectors have another dimension, or the items lack an attribute.
        RunError: The folder holds no vectors, or not all.
    """
    if view.type != "embedding":
        raise ConfigError(f"view '{view.name}' is of type {view.type}, but vectors are published to an embedding view")
    if view.event_time is not None:
        raise ConfigError(f"view '{view.name}' has an event_time, but vectors of a model have none: leave it out")
    items = Items(folder, None)
    field = next(name for name, kind in view.held.items() if kind.startswith("vector"))
    others = [name for name in view.held if name != field]
    for name in others:
        if name not in items.attributes:
            known = ", ".join(items.attributes) or "none"
            told = f"the items have no such attribute; they have: {known}; see --attributes of `easyrec embed`"
            raise DataError(told, file=str(folder), column=name)
    return items.model, _rows(folder, items.id, join_id, field, others, view.held[field])


def _rows(folder: Path, own: str, join_id: str, field: str, others: list[str], kind: str) -> Iterator[pa.RecordBatch]:
    dim = int(kind.removeprefix("vector<").removesuffix(">"))
    for path in parts_of(folder):
        table = pq.read_table(path, columns=[own, *others, "vector"])
        vectors = vectors_of(table)
        if vectors.shape[1] != dim:
            told = f"vectors of {vectors.shape[1]} numbers, but field '{field}' is {kind}"
            raise DataError(told, file=str(path), column="vector")
        columns = {join_id: table[own], **{name: table[name] for name in others}}
        columns[field] = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), dim)
        yield from pa.table(columns).to_batches()
