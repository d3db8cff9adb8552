"""A file that says something of each item of a catalogue: its first column holds their ids."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from easyrec.config import Experiment
from easyrec.data.catalogue import Catalogue, single
from easyrec.errors import ConfigError, DataError, Problem

SHOWN = 3


def read_items(experiment: Experiment, path: str, where: str, remedy: str) -> pa.Table:
    """The file.

    Args:
        experiment: Names it.
        path: The file.
        where: Dotted path of the key that names it.
        remedy: How it is made.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        absent = isinstance(error, FileNotFoundError)
        reason = "there is no such file" if absent else getattr(error, "strerror", None) or error
        text = f"cannot read {path}: {reason}\n{remedy}"
        raise experiment.placed(ConfigError([Problem(text, where)])) from None


def rows_of_items(catalogue: Catalogue, file: pa.Table, path: str, lacking: str, remedy: str) -> np.ndarray:
    """(N,) int64, the row of the file that is about each item of the catalogue.

    Args:
        catalogue: The items.
        file: What `read_items` gave.
        path: Where it lies.
        lacking: What an item has that is not there, such as `no codes`.
        remedy: How the file is made.

    Raises:
        DataError: An item is not there, or twice, or two have the same id after hashing.
    """
    ids = file.column(0).combine_chunks()
    counts = pc.value_counts(ids)
    twice = counts.filter(pc.greater(pc.struct_field(counts, "counts"), 1))
    if len(twice):
        raise DataError(f"the item '{twice[0]['values']}' is there twice", column=file.column_names[0], file=path)
    places = pc.index_in(_alike(catalogue.ids, ids.type), value_set=ids)
    missing = np.flatnonzero(pc.is_null(places).to_numpy(zero_copy_only=False))
    if len(missing):
        text = f"{len(missing):,} of {len(catalogue):,} items have {lacking} in {path}, such as "
        raise DataError(f"{text}{shown(catalogue.ids, missing)}\n{remedy}", column=catalogue.key, file="data.items")
    keys = single(catalogue.table, catalogue.key)
    if len(np.unique(keys)) < len(keys):
        text = "items share an id of this feature after hashing, and here all must be told apart: give it more ids"
        raise DataError(text, column=catalogue.key, file="data.items")
    rows: np.ndarray = places.to_numpy(zero_copy_only=False).astype(np.int64)
    return rows


def shown(ids: pa.Array | pa.ChunkedArray, rows: np.ndarray, between: str = ", ") -> str:
    """Some of these ids, for messages."""
    return between.join(f"'{ids[int(row)]}'" for row in rows[:SHOWN])


def _alike(ids: pa.Array, kind: pa.DataType) -> pa.Array:
    """Ids in the type of others; those that it cannot hold become null, or stay what they are."""
    try:
        return ids.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.nulls(len(ids), kind)
