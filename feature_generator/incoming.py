"""Data as it comes - record batches, pandas, dicts of arrays, rows of JSON - into Arrow records of known columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from feature_generator.errors import DataError, nearest
from feature_generator.json_rows import JsonRows
from feature_generator.native import read_lists, read_rows
from feature_generator.objects import holds_objects, is_foreign, maps_in, maps_of, mixed, readable_type


def record(data: Any, columns: Sequence[str]) -> pa.RecordBatch:
    """The columns of `data` as one record batch.

    Args:
        data: A RecordBatch, pa.Table, DataFrame, mapping of arrays, list of rows (mappings), or one row.
        columns: Names that are wanted. A column of objects `<sequence>` stands for all its `<sequence>__<field>`.

    Raises:
        DataError: A column is missing, or its values have no common type.
    """
    if isinstance(data, pa.RecordBatch):
        return _select(data, columns)
    if isinstance(data, JsonRows):
        read = data.columns(columns)
        return _from_rows(data.plain, columns) if read is None else read
    if isinstance(data, pa.Table):
        return _one_batch(_select(data, columns))
    if isinstance(data, Mapping):
        if is_arrays(data):
            return _from_arrays(data, columns)
        return _from_rows([data], columns)
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return _from_rows(data, columns)
    if hasattr(data, "columns") and hasattr(data, "iloc"):
        return _from_pandas(data, columns)
    if hasattr(data, "__arrow_c_array__"):
        return _select(pa.record_batch(data), columns)
    raise DataError(f"cannot read a {type(data).__name__}; give a record batch, a data frame, a dict of arrays or rows")


def missing(name: str, known: Sequence[str]) -> DataError:
    """The error of a column that is not there."""
    return DataError(f"the column is missing{nearest(name, known)}", column=name)


def is_arrays(data: Mapping[str, Any]) -> bool:
    """Whether a mapping holds columns, rather than the values of one row."""
    return all(_is_array(value) for value in data.values())


def _is_array(value: Any) -> bool:
    return isinstance(value, (list, tuple, pa.Array, pa.ChunkedArray)) or (  # no union: making one takes longer
        hasattr(value, "__array__") and getattr(value, "ndim", 1) > 0
    )


def _select(data: Any, columns: Sequence[str]) -> Any:
    names = data.schema.names
    fields: dict[str, Any] = {}
    for name in columns:
        if name in names:
            column = data.column(name)
        else:
            head, sign, tail = name.partition("__")
            if not sign or head not in names:
                raise missing(name, names)
            column = _field_of_lists(data.column(head), head, tail)
        fields[name] = _readable(column, name)
    if type(data) is pa.RecordBatch:
        return _batch(fields, data.num_rows)
    return pa.table(fields)


def _batch(fields: Mapping[str, Any], rows: int) -> pa.RecordBatch:
    if not fields:
        return pa.RecordBatch.from_struct_array(pa.array([{}] * rows, pa.struct([])))
    return pa.RecordBatch.from_arrays(list(fields.values()), list(fields))


def _field_of_lists(column: Any, name: str, part: str) -> Any:
    """One field of a column of lists of objects, as a column of lists."""
    if isinstance(column, pa.ChunkedArray):
        return pa.chunked_array([_field_of_lists(chunk, name, part) for chunk in column.chunks])
    kind = column.type
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if pa.types.is_null(kind) or (listed and pa.types.is_null(kind.value_type)):
        return column  # no row has an object
    if not listed or not pa.types.is_struct(kind.value_type):
        raise DataError(f"must be a list of objects to hold '{part}', but is {kind}", column=name)
    known = [kind.value_type.field(i).name for i in range(kind.value_type.num_fields)]
    if part not in known:
        raise missing(f"{name}__{part}", [f"{name}__{field}" for field in known])
    items = column.flatten()
    lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    offsets = pa.array([0, *lengths.cumsum().tolist()], pa.int64())
    return pa.LargeListArray.from_arrays(
        offsets, items.field(part) if items.null_count == 0 else items.flatten()[known.index(part)]
    )


def _readable(column: Any, name: str) -> Any:
    """The column in a type that the native reader knows: structs become maps, and what it lacks is cast."""
    if isinstance(column, pa.ChunkedArray):
        if readable_type(column.type) == column.type:
            return column
        return pa.chunked_array([_readable(column.combine_chunks(), name)])
    kind = column.type
    if isinstance(column, pa.ExtensionArray):
        return _readable(column.storage, name)
    if pa.types.is_run_end_encoded(kind):
        return _readable(pc.run_end_decode(column), name)
    if is_foreign(kind):
        return _readable(maps_of(column, name), name)
    target = readable_type(kind)
    return column if target == kind else column.cast(target)


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches() if table.num_columns else []
    if len(batches) == 1:
        return batches[0]
    if not batches:
        return (
            _batch({f.name: pa.array([], f.type) for f in table.schema}, 0)
            if table.num_columns
            else _batch({}, table.num_rows)
        )
    # More text than one array of 32-bit offsets holds.
    arrays = {
        f.name: pa.concat_arrays([b.column(i).cast(_large(f.type)) for b in batches])
        for i, f in enumerate(table.schema)
    }
    return _batch(arrays, table.num_rows)


def _large(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string(kind):
        return pa.large_string()
    if pa.types.is_binary(kind):
        return pa.large_binary()
    return pa.large_list(_large(kind.value_type)) if pa.types.is_list(kind) else kind


def _from_arrays(data: Mapping[str, Any], columns: Sequence[str]) -> pa.RecordBatch:
    read = read_lists(data, columns)
    if read is not None and columns and not read.left:
        return pa.record_batch(read)
    typed, fields = _typed(read), {}
    for name in columns:
        if name in typed:
            fields[name] = typed[name]
            continue
        source = name
        if name not in data:
            source = name.partition("__")[0]
            if source not in data:
                raise missing(name, list(data))
        fields[name] = _readable(_column(data[source], source, name), name)
    sizes = {len(array) for array in fields.values()}
    if len(sizes - {1}) > 1:
        told = ", ".join(f"'{name}' has {len(array)}" for name, array in fields.items())
        raise DataError(f"the columns differ in length: {told}")
    rows = max(sizes - {1}, default=1) if sizes else 0
    if len(sizes) > 1:  # a column of one row stands for every row
        fields = {name: _repeated(array, rows) for name, array in fields.items()}
    return _batch(fields, rows)


def _typed(read: Any) -> dict[str, Any]:
    """The columns of plain values, which the native reader types as `_array` would; the others are left to us."""
    if read is None:
        return {}
    batch = pa.record_batch(read)
    return dict(zip(batch.schema.names, batch.columns, strict=True))


def _repeated(array: Any, rows: int) -> Any:
    """The array's values over and over, `rows` of them; Arrow's `take` lacks some types, text views among them."""
    while len(array) < rows:
        array = pa.concat_arrays([array, array])
    return array[:rows]


def _from_pandas(frame: Any, columns: Sequence[str]) -> pa.RecordBatch:
    names = [str(name) for name in frame.columns]
    wanted = {}
    for name in columns:
        source = name if name in names else name.partition("__")[0]
        if source not in names:
            raise missing(name, names)
        series = frame.iloc[:, names.index(source)]
        wanted[name] = _readable(_column(series, source, name), name)
    return _batch(wanted, len(frame))


def _from_rows(rows: Sequence[Any], columns: Sequence[str]) -> pa.RecordBatch:
    read = read_rows(rows, columns)
    if read is not None and columns and not read.left:
        return pa.record_batch(read)
    for i, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise DataError(f"a row must be a mapping of columns, but is a {type(row).__name__}", row=i)
    typed, fields = _typed(read), {}
    for name in columns:
        fields[name] = typed[name] if name in typed else _readable(_array(_cells(rows, name), name), name)
    return _batch(fields, len(rows))


def _cells(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    """The values of a column: under its name, or in the objects that hold it."""
    head, sign, tail = name.partition("__")
    return [
        row.get(name) if name in row or not sign or head not in row else _field_of_steps(row[head], i, head, tail)
        for i, row in enumerate(rows)
    ]


def _column(values: Any, source: str, name: str) -> Any:
    """The column `name`: `source` itself, or a field of its objects."""
    if source == name:
        return _array(values, name)
    tail = name.partition("__")[2]
    if isinstance(values, pa.Array | pa.ChunkedArray) or not holds_objects(values):
        return _field_of_lists(_array(values, source), source, tail)
    return _array([_field_of_steps(steps, i, source, tail) for i, steps in enumerate(values)], name)


def _field_of_steps(steps: Any, row: int, name: str, part: str) -> list[Any] | None:
    """One field of the objects of one row."""
    if steps is None or (isinstance(steps, float) and math.isnan(steps)):
        return None
    if isinstance(steps, str) or not (isinstance(steps, Iterable) and all(isinstance(step, Mapping) for step in steps)):
        raise DataError("must be a list of objects", row=row, column=name)
    return [step.get(part) for step in steps]


def _array(values: Any, name: str) -> Any:
    if isinstance(values, pa.ChunkedArray):
        return values.combine_chunks()
    if isinstance(values, pa.Array):
        return values
    if holds_objects(values):
        return maps_in(list(values), name)
    try:  # in pandas nan means missing; elsewhere it is a number that is none, and the plan will say so
        array = pa.array(values, from_pandas=hasattr(values, "iloc"))
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        array = mixed(list(values), name)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
