"""Objects as maps: mappings of Python and structs of Arrow, wherever they stand inside a column."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from feature_generator.errors import DataError
from feature_generator.features import number_text

# ------------------------------------------------------------------------------------------------ types


def readable_type(kind: pa.DataType) -> pa.DataType:
    """The type that a column of this one is cast to, for the native reader to read it; itself where it can."""
    types = pa.types
    if types.is_decimal(kind):
        return pa.float64()
    if types.is_float16(kind):
        return pa.float32()
    if types.is_fixed_size_binary(kind):
        return pa.binary()
    if isinstance(kind, pa.BaseExtensionType):
        return readable_type(kind.storage_type)
    if types.is_run_end_encoded(kind):
        return readable_type(kind.value_type)
    if types.is_struct(kind):
        return pa.map_(pa.string(), pa.null())
    if types.is_map(kind):
        key, item = readable_type(kind.key_type), readable_type(kind.item_type)
        return kind if (key, item) == (kind.key_type, kind.item_type) else pa.map_(key, item)
    if types.is_dictionary(kind):
        value = readable_type(kind.value_type)
        return kind if value == kind.value_type else value
    large = types.is_large_list(kind) or types.is_large_list_view(kind)
    if large or types.is_list(kind) or types.is_list_view(kind) or types.is_fixed_size_list(kind):
        value = readable_type(kind.value_type)
        plain = types.is_large_list(kind) or types.is_list(kind)
        return kind if plain and value == kind.value_type else pa.large_list(value) if large else pa.list_(value)
    return kind


def is_foreign(kind: pa.DataType) -> bool:
    """Whether there are structs in a column of this type, or list views, whose casts Arrow gets wrong."""
    if pa.types.is_struct(kind) or pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        return True
    if pa.types.is_map(kind):
        return is_foreign(kind.item_type)
    return hasattr(kind, "value_type") and is_foreign(kind.value_type)


# ------------------------------------------------------------------------------------------------ Arrow


def maps_of(array: Any, name: str) -> pa.Array:
    """The array with maps in the place of its structs, and lists in the place of its views.

    A field without a value is a key that is not there.
    """
    kind = array.type
    if not is_foreign(kind):
        return array
    if pa.types.is_struct(kind):
        return _map_of_struct(array, name)
    if pa.types.is_dictionary(kind):
        return maps_of(array.dictionary_decode(), name)
    lengths = _lengths(array)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]))
    if pa.types.is_map(kind):
        present = array.drop_null()
        first, last = (present.offsets[i].as_py() if len(present) else 0 for i in (0, -1))
        keys, items = (part.slice(first, last - first) for part in (present.keys, present.items))
        return pa.MapArray.from_arrays(offsets.cast(pa.int32()), keys, maps_of(items, name))
    return pa.LargeListArray.from_arrays(offsets, maps_of(array.flatten(), name))


def _lengths(array: Any) -> Any:
    """Items of each row; none of a null."""
    if pa.types.is_map(array.type):
        ends = array.offsets.to_numpy()
        return np.where(array.is_valid().to_numpy(zero_copy_only=False), np.diff(ends), 0)
    if pa.types.is_fixed_size_list(array.type):
        return array.is_valid().to_numpy(zero_copy_only=False) * array.type.list_size
    return array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)


def _map_of_struct(array: pa.StructArray, name: str) -> pa.Array:
    rows, count = len(array), array.type.num_fields
    if count == 0:
        return pa.array([[]] * rows, pa.map_(pa.string(), pa.string()))
    fields = _of_one_type([maps_of(field, name) for field in array.flatten()], name)
    there = np.stack([field.is_valid().to_numpy(zero_copy_only=False) for field in fields], axis=1)
    row, field = np.nonzero(there)  # row by row
    items = pa.concat_arrays(fields).take(pa.array(field * rows + row))
    keys = pa.array([array.type.field(i).name for i in range(count)]).take(pa.array(field))
    offsets = np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int32)
    return pa.MapArray.from_arrays(pa.array(offsets), keys, items)


def _of_one_type(fields: list[Any], name: str) -> list[Any]:
    """Fields of several types as one: numbers where all are, else text."""
    fields = [field.cast(readable_type(field.type)) for field in fields]
    kinds = {field.type for field in fields if not pa.types.is_null(field.type)}
    if len(kinds) > 1 and all(pa.types.is_integer(kind) for kind in kinds):
        kinds = {pa.int64()} if pa.uint64() not in kinds else {pa.uint64()}
        try:
            return [field.cast(next(iter(kinds))) for field in fields]
        except pa.ArrowInvalid:
            kinds = set()
    if len(kinds) == 1:
        kind = next(iter(kinds))
        view = pa.types.is_string_view(kind) or pa.types.is_binary_view(kind)  # Arrow cannot pick views
        return [field.cast(pa.large_string() if view else kind) for field in fields]
    return [mixed(field.to_pylist(), name).cast(pa.string()) for field in fields]


# ------------------------------------------------------------------------------------------------ Python


_PLAIN = {type(None), bool, int, float, str, bytes}
"""Types of cells that are no objects, as one look at all cells tells."""


def holds_objects(values: Any) -> bool:
    """Whether cells are mappings, lists of (key, value) tuples, as Arrow gives maps to Python, or lists of either."""
    if hasattr(values, "dtype") and str(values.dtype) != "object":
        return False
    if _PLAIN.issuperset(map(type, values)):
        return False
    return any(_is_object(cell) or (isinstance(cell, list) and any(map(_is_object, cell))) for cell in values)


def _is_object(cell: Any) -> bool:
    return isinstance(cell, Mapping) or _is_pairs(cell)


def _is_pairs(cell: Any) -> bool:
    return isinstance(cell, list) and bool(cell) and isinstance(cell[0], tuple) and len(cell[0]) == 2


def maps_in(values: list[Any], name: str) -> pa.Array:
    """Cells as an array: mappings as maps of what they hold, lists as lists, everything else plain.

    Raises:
        DataError: Some are objects and some are not, or what they hold has no common type.
    """
    if not holds_objects(values):
        try:
            return pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
            return mixed(values, name)
    maps = any(map(_is_object, values))
    entries: list[list[Any]] = []
    for row, cell in enumerate(values):
        if _is_missing(cell) or (isinstance(cell, Sequence) and len(cell) == 0):
            entries.append([])
        elif maps and _is_object(cell):
            entries.append(list(cell.items() if isinstance(cell, Mapping) else cell))
        elif not maps and isinstance(cell, list):
            entries.append(cell)
        else:
            raise DataError("the values have no common type: some are objects and some are not", row=row, column=name)
    offsets = pa.array(np.concatenate([[0], np.cumsum([len(entry) for entry in entries])]).astype(np.int32))
    flat = [item for entry in entries for item in entry]
    if not maps:
        return pa.ListArray.from_arrays(offsets, maps_in(flat, name))
    try:
        keys = pa.array([_plain_text(key) for key, _ in flat], pa.string())
    except ValueError as error:
        raise DataError(f"a key of an object cannot be read: {error}", column=name) from None
    return pa.MapArray.from_arrays(offsets, keys, maps_in([item for _, item in flat], name))


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def mixed(values: list[Any], name: str) -> pa.Array:
    """Plain values of several kinds, or lists of them, as text.

    Raises:
        DataError: They have no common type.
    """
    depths = [None if _is_missing(value) else _depth(value) for value in values]
    deep = next((depth for depth in depths if depth is not None), 0)
    odd = next((row for row, depth in enumerate(depths) if depth is not None and depth != deep), None)
    if odd is not None:
        how = "some are lists and some are not" if 0 in (deep, depths[odd]) else "some are nested deeper than others"
        raise DataError(f"the values have no common type: {how}", row=odd, column=name)
    try:
        return pa.array([_text(value) for value in values])
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, ValueError) as error:
        raise DataError(f"the values have no common type: {str(error).splitlines()[0]}", column=name) from None


def _depth(value: Any) -> int:
    """How many lists a value stands in, by the first of each."""
    if not _is_listed(value):
        return 0
    return 1 + next((_depth(inner) for inner in value if not _is_missing(inner)), 0)


def _is_listed(value: Any) -> bool:
    return isinstance(value, list | tuple) or (hasattr(value, "__array__") and getattr(value, "ndim", 1) > 0)


def _text(value: Any) -> Any:
    if _is_missing(value):
        return None
    if _is_listed(value):
        return [_text(v) for v in value]
    return _plain_text(value)


def _plain_text(value: Any) -> str:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return number_text(value)
    if isinstance(value, str | int):
        return str(value)
    raise ValueError(f"a {type(value).__name__} is no plain value")
