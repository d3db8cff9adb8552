"""`frame`: rows in memory, handed over in Python; a unit is a slice of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from easyrec.data.sources import Policy, Source, SourceConfig, Unit
from easyrec.errors import ConfigError, DataError, Problem

UNIT_ROWS = 1 << 14
"""Rows per unit: what is shuffled and shared among workers."""


class Config(SourceConfig):
    """Config of `frame`: says that the rows come from Python, `easyrec.train(config, data={"train": frame})`."""

    type: Literal["frame"] = "frame"

    def open(self, bad_rows: Policy = "fail") -> FrameSource:
        """Refuses: there is no frame in a config.

        Raises:
            ConfigError: Always.
        """
        del bad_rows
        text = "the rows of a 'frame' are handed over in Python: easyrec.train(config, data={'train': frame})"
        raise ConfigError([Problem(text, "data")])


class FrameSource(Source):
    """Rows of a table in memory, not copied where Arrow can share the memory.

    Args:
        data: A pandas DataFrame, an Arrow table or record batch, a list of dicts, or a dict of arrays or lists of
            equal length. A two-dimensional array is a column of vectors. NaN means missing, as it does in pandas.
        name: What errors call the rows.

    Raises:
        DataError: The columns are no table: unequal lengths, one name twice; names the column.
    """

    def __init__(self, data: Any, name: str = "frame") -> None:
        self.name = name
        self.table, self._faults = _table(data, name)
        self.columns = {field.name: field.type for field in self.table.schema} | dict.fromkeys(self._faults, pa.null())
        self._units: list[Unit] = []
        for start in range(0, self.table.num_rows, UNIT_ROWS):
            rows = min(UNIT_ROWS, self.table.num_rows - start)
            text = f"{name}, rows {start} to {start + rows - 1}"
            self._units.append(Unit(len(self._units), rows, text, name, start))

    def units(self) -> list[Unit]:
        """Slices of the rows."""
        return self._units

    def require(self, columns: Sequence[str], why: str = "") -> None:
        """Check that `columns` can be read; what others hold is of no concern.

        Raises:
            ConfigError: A column is absent.
            DataError: A column holds what Arrow cannot: mixed types, objects.
        """
        super().require(columns, why)
        for name in columns:
            if name in self._faults:
                raise self._faults[name]

    def read(self, unit: Unit, columns: Sequence[str], start_row: int = 0) -> Iterator[pa.RecordBatch]:
        """The slice, not copied."""
        rows = (unit.rows or 0) - start_row
        if rows > 0:
            yield from self.table.select(list(columns)).slice(unit.first_row + start_row, rows).to_batches()

    def bounds(self, unit: Unit, column: str) -> tuple[pa.Scalar, pa.Scalar] | None:
        """The smallest and largest value of the slice."""
        kind = self.columns[column]
        if pa.types.is_nested(kind) or pa.types.is_dictionary(kind) or pa.types.is_null(kind):
            return None
        values = self.table.column(column).slice(unit.first_row, unit.rows)
        found = pc.min_max(values)
        return (found["min"], found["max"]) if found["min"].is_valid else None


def _table(data: Any, name: str) -> tuple[pa.Table, dict[str, DataError]]:
    """The columns that can be read, and what is wrong with the others."""
    if isinstance(data, pa.Table):
        return data, {}
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data]), {}
    given: dict[str, Any]
    if isinstance(data, pd.DataFrame):
        repeated = sorted({str(c) for c in data.columns[data.columns.duplicated()]})
        if repeated:
            raise DataError("is there twice", column=repeated[0], file=name)
        given = {str(c): data[c] for c in data.columns}
    elif isinstance(data, Mapping):
        given = {str(c): values for c, values in data.items()}
    elif isinstance(data, list) and all(isinstance(row, Mapping) for row in data):
        names = dict.fromkeys(str(key) for row in data for key in row)
        given = {c: [row.get(c) for row in data] for c in names}
    else:
        text = (
            f"must be a DataFrame, an Arrow table, a dict of columns or a list of dicts, but is {type(data).__name__}"
        )
        raise DataError(text, file=name)
    found = {column: _array(values, column, name) for column, values in given.items()}
    arrays = {column: array for column, array in found.items() if not isinstance(array, DataError)}
    faults = {column: error for column, error in found.items() if isinstance(error, DataError)}
    if faults and not arrays:
        raise next(iter(faults.values()))
    lengths = {c: len(array) for c, array in arrays.items()}
    for column, length in lengths.items():
        if length != next(iter(lengths.values())):
            first = next(iter(lengths))
            raise DataError(f"has {length} values, but '{first}' has {lengths[first]}", column=column, file=name)
    return pa.table(arrays), faults


def _array(values: Any, column: str, name: str) -> pa.Array | pa.ChunkedArray | DataError:
    try:
        if isinstance(values, pa.Array | pa.ChunkedArray):
            return values
        if isinstance(values, np.ndarray) and values.ndim == 2:
            flat = pa.array(np.ascontiguousarray(values).reshape(-1))
            return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        return DataError(f"cannot be one column: {str(error).splitlines()[0]}", column=column, file=name)
