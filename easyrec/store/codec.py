"""Rows of a view as packed bytes, and back into columns."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from easyrec.store import native
from feature_generator.errors import DataError, nearest

SCALARS = {
    "bool": pa.bool_(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "timestamp": pa.timestamp("us", "UTC"),
}
FIRST_S, LAST_S = -62_135_596_800, 253_402_300_799
"""The years 1 to 9999, seconds since 1970: what lies outside was meant in another unit."""
LIKELY_S = 32_503_680_000
"""The year 3000: what lies behind it was hardly meant."""
KINDS = [*SCALARS, "array", "map", "vector"]
OTHERS = {
    **dict.fromkeys(("int", "integer", "bigint", "long", "tinyint", "smallint", "int8", "int16", "uint32"), "int64"),
    **dict.fromkeys(("float32", "real"), "float"),
    **dict.fromkeys(("float64", "decimal", "numeric"), "double"),
    **dict.fromkeys(("str", "text", "varchar", "char", "utf8"), "string"),
    **dict.fromkeys(("datetime", "date", "time"), "timestamp"),
    "boolean": "bool",
    "list": "array<T>",
    "embedding": "vector<D>",
    "dict": "map<K, V>",
}
"""What our types are called elsewhere."""


def arrow_type(text: str) -> pa.DataType:
    """The Arrow type of a field's type, as it is written: steps are maps of times (int64 microseconds) to values.

    Raises:
        ValueError: There is no such type.
    """
    try:
        native.check_type(text)
    except ValueError as error:
        raise ValueError(f"{error}{_meant(str(error))}") from None
    text = text.replace(" ", "")
    if text in SCALARS:
        return SCALARS[text]
    kind, _, held = text.removesuffix(">").partition("<")
    if kind == "array":
        return pa.list_(arrow_type(held))
    if kind == "steps":
        return pa.map_(pa.int64(), arrow_type(held))
    if kind == "decay":
        return pa.map_(pa.int64(), pa.float64())
    if kind == "vector":
        return pa.list_(pa.float32(), int(held))
    key, _, value = held.partition(",")
    return pa.map_(SCALARS[key], SCALARS[value])


def _meant(told: str) -> str:
    """Which type was meant by an unknown one, such as a name that others use."""
    unknown = re.match(r"unknown type '(\w+)", told)
    if unknown is None or unknown[1] in KINDS:
        return ""
    meant = OTHERS.get(unknown[1].lower())
    return f"; did you mean '{meant}'?" if meant else nearest(unknown[1], KINDS)


def read_type(text: str) -> str:
    """The type that a field has where it is read: that of a value, where it has several by time."""
    if text.startswith("decay<"):
        return "double"
    return text[6:-1] if text.startswith("steps<") else text


def pack(rows: pa.RecordBatch, types: Mapping[str, str], schema: int, times: np.ndarray | None = None) -> list[bytes]:
    """Each row as bytes.

    Args:
        rows: Holds the fields.
        types: Type of each field, by name, in order.
        schema: Number of these types among those of the view.
        times: (rows,) int64: since when each row holds, see `micros`; None: always.

    Raises:
        DataError: A column is missing, cannot be read as its type.
    """
    columns = [field_of(rows, name, text) for name, text in types.items()]
    batch = pa.RecordBatch.from_arrays(columns, list(types))
    try:
        made: list[bytes] = native.pack(list(types.values()), schema, batch, times)
    except ValueError as error:
        raise DataError(str(error)) from None
    return made


def micros(rows: pa.RecordBatch, name: str) -> np.ndarray:
    """(rows,) int64: times of a column in microseconds.

    Raises:
        DataError: One is null, or the column holds no times.
    """
    column = column_of(rows, name)
    if column.null_count:
        row = int(np.flatnonzero(np.asarray(column.is_null()))[0])
        raise DataError("a row needs a time", column=name, row=row)
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        unit, part = "us", "microseconds"
        try:
            column = column.cast(pa.timestamp("us", getattr(column.type, "tz", None)), safe=False)
        except pa.ArrowInvalid as error:
            raise DataError(f"holds a time that microseconds since 1970 cannot tell: {error}", column=name) from None
    elif pa.types.is_integer(column.type):
        unit, part = "s", "seconds"
        column = column.cast(pa.int64(), safe=False)
    else:
        raise DataError(f"holds {column.type}, but a time is a timestamp, or whole seconds", column=name)
    found: np.ndarray = np.ascontiguousarray(column.cast(pa.int64()).to_numpy(zero_copy_only=False))
    scale = 1 if unit == "us" else 1_000_000
    if len(found) and (found.min() < FIRST_S * 1_000_000 // scale or found.max() > LAST_S * 1_000_000 // scale):
        row = int(np.flatnonzero((found < FIRST_S * 1_000_000 // scale) | (found > LAST_S * 1_000_000 // scale))[0])
        value = int(found[row])
        raise DataError(
            f"{value} {part} since 1970 lie outside of the years 1 to 9999{other_unit(value, scale)}",
            column=name,
            row=row,
        )
    return found * scale


def other_unit(value: int, scale: int = 1_000_000) -> str:
    """In which unit a time was meant that lies outside of all years; empty: nobody knows.

    Args:
        value: The number.
        scale: Microseconds of the unit in which it makes no sense.
    """
    for unit, finer in (("milliseconds", 1e3), ("microseconds", 1e6), ("nanoseconds", 1e9)):
        if scale == 1_000_000 and 0 < value / finer < LIKELY_S:
            return f": these are {unit}, divide by {finer:,.0f}"
    return ""


def column_of(rows: pa.RecordBatch, name: str) -> pa.Array:
    """A column by its name, without a dictionary.

    Raises:
        DataError: There is none.
    """
    index = rows.schema.get_field_index(name)
    if index < 0 and name in rows.schema.names:
        raise DataError("the rows have two columns of this name", column=name)
    if index < 0:
        raise DataError(f"the rows have no such column; they have: {', '.join(rows.schema.names[:20])}", column=name)
    column = rows.column(index)
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def field_of(rows: pa.RecordBatch, name: str, text: str) -> pa.Array:
    """A column as the type of a field.

    Raises:
        DataError: It is missing, or cannot be read as this type.
    """
    column, wanted = column_of(rows, name), arrow_type(text)
    if pa.types.is_fixed_size_list(wanted) and (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        other = pc.index(pc.not_equal(pc.list_value_length(column), wanted.list_size), True).as_py()
        if other >= 0:
            raise DataError(f"has {len(column[other])} numbers, not {wanted.list_size}", column=name, row=other)
    try:
        made = column.cast(wanted) if column.type != wanted else column
        if pa.types.is_fixed_size_list(wanted):
            made = made.cast(pa.list_(pa.float32()))
    except (pa.ArrowException, ValueError) as error:
        told = str(error).splitlines()[0][:200]
        row = _first_unfit(column, wanted)
        raise DataError(f"holds {column.type}, which is no {text}: {told}", column=name, row=row) from None
    if pa.types.is_fixed_size_list(wanted):
        numbers = made.flatten()
        if numbers.null_count:
            place = pc.index(pc.is_null(numbers), True).as_py()
            raise DataError(
                "a number of a vector is null", column=name, row=pc.list_parent_indices(made)[place].as_py()
            )
    return made


def _first_unfit(column: pa.Array, wanted: pa.DataType) -> int | None:
    """The first row that cannot be cast; None where the type itself cannot be."""

    def fits(rows: pa.Array) -> bool:
        try:
            rows.cast(wanted)
        except (pa.ArrowException, ValueError):
            return False
        return True

    if not fits(column.slice(0, 0)):
        return None
    low, high = 0, len(column)  # the rows before `low` fit, those before `high` do not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(column.slice(low, middle - low)) else (low, middle)
    return low
