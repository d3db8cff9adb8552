"""Data as it comes - record batches, pandas, dicts of arrays, rows of JSON - into Arrow records of known columns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from feature_generator.errors import DataError, nearest
from feature_generator.features import number_text

_CASTS = (
    (pa.types.is_decimal, pa.float64()),
    (pa.types.is_float16, pa.float32()),
)


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
    if isinstance(data, pa.Table):
        return _one_batch(_select(data, columns))
    if isinstance(data, Mapping):
        if not data or all(_is_array(value) for value in data.values()):
            return _from_arrays(data, columns)
        return _from_rows([data], columns)
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return _from_rows(data, columns)
    if hasattr(data, "columns") and hasattr(data, "iloc"):
        return _from_pandas(data, columns)
    raise DataError(f"cannot read a {type(data).__name__}; give a record batch, a data frame, a dict of arrays or rows")


def missing(name: str, known: Sequence[str]) -> DataError:
    """The error of a column that is not there."""
    return DataError(f"the column is missing{nearest(name, known)}", column=name)


def _is_array(value: Any) -> bool:
    return isinstance(value, pa.Array | pa.ChunkedArray | list | tuple) or (
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
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)) or not pa.types.is_struct(kind.value_type):
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
    """The column in a type that the native reader knows."""
    kind = column.type
    for test, target in _CASTS:
        if test(kind):
            return column.cast(target)
    if pa.types.is_fixed_size_list(kind):
        return column.cast(pa.list_(_castable(kind.value_type)))
    if pa.types.is_fixed_size_binary(kind):
        return column.cast(pa.binary())
    if isinstance(column, pa.ExtensionArray):
        return _readable(column.storage, name)
    return column


def _castable(kind: pa.DataType) -> pa.DataType:
    return pa.list_(_castable(kind.value_type)) if pa.types.is_fixed_size_list(kind) else kind


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
    fields = {}
    for name in columns:
        source = name
        if name not in data:
            source = name.partition("__")[0]
            if source not in data:
                raise missing(name, list(data))
        array = _array(data[source], source)
        fields[name] = _readable(
            array if source == name else _field_of_lists(array, source, name.partition("__")[2]), name
        )
    sizes = {len(array) for array in fields.values()}
    if len(sizes - {1}) > 1:
        told = ", ".join(f"'{name}' has {len(array)}" for name, array in fields.items())
        raise DataError(f"the columns differ in length: {told}")
    rows = max(sizes - {1}, default=1) if sizes else 0
    if len(sizes) > 1:  # a column of one row stands for every row
        fields = {name: _repeated(array, rows) for name, array in fields.items()}
    return _batch(fields, rows)


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
        array = _array(series, source)
        wanted[name] = _readable(
            array if source == name else _field_of_lists(array, source, name.partition("__")[2]), name
        )
    return _batch(wanted, len(frame))


def _from_rows(rows: Sequence[Any], columns: Sequence[str]) -> pa.RecordBatch:
    for i, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise DataError(f"a row must be a mapping of columns, but is a {type(row).__name__}", row=i)
    fields = {}
    for name in columns:
        head, sign, tail = name.partition("__")
        values = []
        for i, row in enumerate(rows):
            if name in row or not sign or head not in row:
                values.append(row.get(name))
                continue
            steps = row[head]
            if steps is not None and not (
                isinstance(steps, Sequence) and all(isinstance(step, Mapping) for step in steps)
            ):
                raise DataError("must be a list of objects", row=i, column=head)
            values.append(None if steps is None else [step.get(tail) for step in steps])
        fields[name] = _array(values, name)
    return _batch(fields, len(rows))


def _array(values: Any, name: str) -> Any:
    if isinstance(values, pa.ChunkedArray):
        return values.combine_chunks()
    if isinstance(values, pa.Array):
        return values
    if _holds_pairs(values):
        return _mixed(list(values), name)
    try:  # in pandas nan means missing; elsewhere it is a number that is none, and the plan will say so
        array = pa.array(values, from_pandas=hasattr(values, "iloc"))
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        array = _mixed(list(values), name)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_struct(array.type):
        return _mixed(list(values), name)
    return array


def _holds_pairs(values: Any) -> bool:
    """Whether the cells are lists of (key, value) tuples, as Arrow gives maps to Python."""
    if hasattr(values, "dtype") and str(values.dtype) != "object":
        return False
    cell = next((v for v in values if isinstance(v, list) and v), None)
    return cell is not None and isinstance(cell[0], tuple) and len(cell[0]) == 2


def _mixed(values: list[Any], name: str) -> pa.Array:
    """Values of several kinds: mappings as maps, else everything as text."""
    try:
        if any(isinstance(value, Mapping) for value in values) or _holds_pairs(values):
            maps = [v.items() if isinstance(v, Mapping) else v if isinstance(v, list) else None for v in values]
            pairs = [None if v is None else [(_plain_text(k), w) for k, w in v] for v in maps]
            return pa.array(pairs, pa.map_(pa.string(), pa.float64()))
        return pa.array([_text(value) for value in values])
    except (pa.ArrowInvalid, pa.ArrowTypeError, AttributeError, TypeError, ValueError) as error:
        raise DataError(f"the values have no common type: {str(error).splitlines()[0]}", column=name) from None


def _text(value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, list | tuple) or hasattr(value, "__array__"):
        return [_text(v) for v in value]
    return _plain_text(value)


def _plain_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return number_text(value)
    if isinstance(value, str | int):
        return str(value)
    raise ValueError(f"a {type(value).__name__} is no plain value")
