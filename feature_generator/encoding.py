"""Features as Arrow columns that `mode="encoded"` reads back to the same table, bit for bit.

One column per output, called like it; an element is

    sparse, at most one id      int64, null for none
    sparse                      list<int64>
    sparse, weighted            map<int64, float>
    dense of one number         float
    dense of several            list<float>

and a sequence is a list of elements.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from feature_generator.columns import Array, Column, Ragged, Table
from feature_generator.discretizer import SparseConfig
from feature_generator.errors import DataError
from feature_generator.numeric import NumericConfig
from feature_generator.sinks import OutputSpec

RAW = ":raw"
"""End of the name of a raw column that is passed through and is called like an output."""


def column_type(spec: OutputSpec) -> pa.DataType:
    """The Arrow type of an output's column."""
    if spec.kind.startswith("dense"):
        element = pa.float32() if spec.value_dim == 1 else pa.list_(pa.float32())
    elif spec.weighted:
        element = pa.map_(pa.int64(), pa.float32())
    else:
        element = pa.int64() if at_most_one(spec) else pa.list_(pa.int64())
    return pa.list_(element) if spec.kind.endswith("sequence") else element


def at_most_one(spec: OutputSpec) -> bool:
    """Whether the config says that an element of a sparse output has one id or none."""
    config: Any = spec.config
    if config.exploded and spec.sequence == spec.name:  # every value is an element
        return True
    if isinstance(config, NumericConfig) and config.numeric:
        return config.numbers().value_dim == 1
    return isinstance(config, SparseConfig) and bool(config.first_only(spec.kind == "sparse_sequence"))


def encode(table: Table, outputs: Mapping[str, OutputSpec]) -> dict[str, pa.Array]:
    """The columns of a table; ids, numbers and weights are not copied where their layout allows it.

    Raises:
        DataError: A column holds more than the 2^31 - 1 values that one Arrow list can count.
    """
    columns = {}
    for name, spec in outputs.items():
        column = table[name]
        if isinstance(column, Column):
            columns[name] = _vectors(column.values)
            continue
        elements = _vectors(column.values) if spec.kind == "dense_sequence" else _elements(column, spec)
        if spec.kind.endswith("sequence"):
            elements = pa.ListArray.from_arrays(_ends(column.offsets, column.elements, name), elements)
        columns[name] = elements
    return columns


def _elements(column: Ragged, spec: OutputSpec) -> pa.Array:
    """Every element's ids; in a plain feature an element is a row."""
    ends = column.key_offsets if spec.kind == "sparse_sequence" else column.offsets
    if spec.weighted:
        assert column.weights is not None
        offsets = _ends(ends, len(column.values), spec.name)
        return pa.MapArray.from_arrays(offsets, pa.array(column.values), pa.array(column.weights))
    if not at_most_one(spec):
        return pa.ListArray.from_arrays(_ends(ends, len(column.values), spec.name), pa.array(column.values))
    if ends is None:
        return pa.array(column.values)
    none = np.diff(ends) == 0
    ids = np.zeros(len(none), np.int64)
    ids[~none] = column.values
    return pa.array(ids, mask=none)


def _vectors(values: Array) -> pa.Array:
    """(n, d) float32 as n numbers, or as n lists of d."""
    rows, width = values.shape
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    if width == 1:
        return flat
    return pa.ListArray.from_arrays(pa.array(np.arange(rows + 1, dtype=np.int32) * np.int32(width)), flat)


def _ends(ends: Array | None, elements: int, name: str) -> pa.Array:
    """Offsets of 32 bits; None stands for one value per element."""
    if (elements if ends is None else int(ends[-1])) >= 2**31:
        raise DataError("holds more than 2,147,483,647 values in one batch: transform fewer rows at once", column=name)
    return pa.array(np.arange(elements + 1, dtype=np.int32) if ends is None else ends.astype(np.int32))
