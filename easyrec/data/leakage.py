"""The leakage check: the steps of a behaviour sequence lie before the exposure that they are a feature of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from easyrec.config.data import Leakage
from easyrec.data.labels import Wrong
from easyrec.errors import ConfigError, Problem


def find_leaks(batch: pa.RecordBatch, config: Leakage) -> list[Wrong]:
    """Rows in which a step's time is not before the exposure's.

    Null times, of a step or of the exposure, prove nothing and pass.
    """
    exposure = batch.column(config.time)
    found = []
    for name in config.sequences:
        steps = _lists(batch.column(name), name, config.separator)
        parents = pc.list_parent_indices(steps)
        times, limits = _comparable(pc.list_flatten(steps), exposure, name, config)
        late = pc.fill_null(pc.greater_equal(times, limits.take(parents)), False)
        if not pc.any(late).as_py():
            continue
        rows = np.unique(parents.filter(late).to_numpy().astype(np.int64))
        found.append(
            Wrong(
                name, rows, f"reaches to its exposure or beyond (column '{config.time}')", _teller(batch, name, config)
            )
        )
    return found


def _teller(batch: pa.RecordBatch, name: str, config: Leakage) -> Callable[[int], str]:
    def tell(row: int) -> str:
        steps = _lists(batch.column(name).slice(row, 1), name, config.separator)
        times, _ = _comparable(pc.list_flatten(steps), batch.column(config.time).slice(row, 1), name, config)
        last, exposure = pc.max(times).as_py(), batch.column(config.time)[row].as_py()
        return f"has a step at {last}, which is not before its exposure at {exposure} (column '{config.time}')"

    return tell


def _lists(column: pa.Array, name: str, separator: str) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        texts = column.cast(pa.string())
        texts = pc.if_else(pc.equal(texts, ""), None, texts)
        return pc.split_pattern(texts, separator)
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type) or pa.types.is_fixed_size_list(column.type):
        return column
    text = f"column '{name}' holds {column.type}: the check needs a list of times, or a text with them"
    raise ConfigError([Problem(text, "data . leakage")])


def _comparable(times: pa.Array, exposure: pa.Array, name: str, config: Leakage) -> tuple[pa.Array, pa.Array]:
    """Both in one type: numbers as float64, moments as they are."""
    try:
        if pa.types.is_temporal(times.type) or pa.types.is_temporal(exposure.type):
            return times, exposure.cast(times.type)
        if pa.types.is_integer(times.type) and pa.types.is_integer(exposure.type):
            return times.cast(pa.int64()), exposure.cast(pa.int64())
        return times.cast(pa.float64()), exposure.cast(pa.float64())
    except pa.ArrowException:
        text = f"times of type {times.type} in '{name}' cannot be compared with {exposure.type} in '{config.time}'"
        raise ConfigError([Problem(text, "data . leakage")]) from None
