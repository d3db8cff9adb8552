"""JSON lines: Arrow's parser for blocks, the inference of types, and the mending of malformed lines one by one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json as arrow_json

from easyrec.data.sources import Policy
from easyrec.data.sources._lines import Parsed, one_batch
from easyrec.data.sources._types import SCALARS, type_text
from easyrec.errors import DataError, nearest

BLANK = b" \t\r"
"""What a line without a row may hold."""

PIECE_BYTES = 32 << 10
"""Where there are maps, lines that are first parsed at once; fewer or more follow, by the number of keys."""

CELLS = 1 << 20
"""Rows x keys of a piece. Arrow parses objects into one column per key, so that memory grows with this."""


def parse_lines(
    block: bytes, kinds: Mapping[str, pa.DataType], wanted: Sequence[str], policy: Policy, inferred: Collection[str]
) -> Parsed:
    """The rows of some lines, one by one where any of them is malformed.

    Args:
        block: Whole lines.
        kinds: Every column that a line may have.
        wanted: Columns of the result.
        policy: What becomes of malformed lines.
        inferred: Columns whose type was inferred.

    Raises:
        DataError: A line is malformed and the policy is to fail; its `row` counts the lines that are not blank.
    """
    batch = parse_block(block, kinds, wanted)
    if batch is not None:
        return Parsed(batch)
    mender = Mender(kinds, wanted, policy, inferred)
    batch = mender.parse(block)
    return Parsed(batch, mender.left_out, mender.counts)


# ------------------------------------------------------------------------------------------ whole blocks


def parse_block(block: bytes, kinds: Mapping[str, pa.DataType], wanted: Sequence[str]) -> pa.RecordBatch | None:
    """The lines by Arrow's parser; None if one of them is malformed.

    Args:
        block: Whole lines.
        kinds: Every column that a line may have.
        wanted: Columns of the result.
    """
    body = block.removesuffix(b"\n")
    if not body.strip(BLANK + b"\n"):
        return pa.RecordBatch.from_pylist([], pa.schema([(name, kinds[name]) for name in wanted]))
    try:
        body.isascii() or body.decode()  # Arrow would pass wrong bytes on as text
        if not any(map(pa.types.is_map, kinds.values())):
            return _parse(body, kinds, wanted)
        batches = []
        size, start = PIECE_BYTES, 0
        while start < len(body):
            end = body.find(b"\n", min(start + size, len(body)))
            end = len(body) if end < 0 else end
            batch, cells = _parse_maps(body[start:end], kinds, wanted)
            if batch is None:
                return None
            batches.append(batch)
            size, start = (size // 2 if cells > 2 * CELLS else size * 2 if cells < CELLS // 2 else size), end + 1
        return one_batch(pa.Table.from_batches(batches))
    except (pa.ArrowInvalid, UnicodeDecodeError):
        return None


def _parse(body: bytes, kinds: Mapping[str, pa.DataType], wanted: Sequence[str]) -> pa.RecordBatch | None:
    rows = _rows(body, kinds, "error")
    return None if rows is None else _batch(rows, {name: rows.field(name).cast(kinds[name]) for name in wanted})


def _parse_maps(
    body: bytes, kinds: Mapping[str, pa.DataType], wanted: Sequence[str]
) -> tuple[pa.RecordBatch | None, int]:
    """As `_parse`, with maps among the columns; and the rows x keys that this took."""
    given = {name: kind for name, kind in kinds.items() if not pa.types.is_map(kind)}
    rows = _rows(body, given, "infer")
    if rows is None:
        return None, 0
    inferred = {field.name: field.type for field in rows.type}
    if not inferred.keys() <= kinds.keys():
        return None, 0  # an unknown column
    if any(inferred[name] != _as_parsed(kind) for name, kind in given.items()):
        return None, 0  # an object with an unknown field
    maps = {name: inferred[name] for name in kinds if name in inferred and name not in given}
    objects = {name: kind for name, kind in maps.items() if pa.types.is_struct(kind)}
    if any(not pa.types.is_null(kind) for name, kind in maps.items() if name not in objects):
        return None, 0
    cells = len(rows) * sum(kind.num_fields for kind in objects.values())
    # Texts that look like dates were taken for dates: now that the keys are known they are read once more, as texts.
    texts = {
        name: pa.struct([(field.name, pa.string()) for field in kind])
        for name, kind in objects.items()
        if pa.types.is_string(kinds[name].item_type) and any(pa.types.is_timestamp(field.type) for field in kind)
    }
    if texts:
        rows = _rows(body, {**given, **texts}, "infer")
        assert rows is not None
    arrays: dict[str, Any] = {}
    for name in kinds:
        if name in given:
            arrays[name] = rows.field(name).cast(kinds[name]) if name in wanted else None
        elif name in objects:
            arrays[name] = _map(rows.field(name), kinds[name])
            if arrays[name] is None:
                return None, 0
        else:
            arrays[name] = pa.nulls(len(rows), kinds[name])
    return _batch(rows, {name: arrays[name] for name in wanted}), cells


def _rows(body: bytes, kinds: Mapping[str, pa.DataType], unexpected: str) -> pa.StructArray | None:
    """One struct per line.

    Each line becomes the value of an object of its own, so that Arrow refuses a line of two values, and a value of two
    lines; and because it dies of a line `null` outside of any object.
    """
    count = body.count(b"\n") + 1
    wrapped = b'{"":' + body.replace(b"\n", b'}\n{"":') + b"}"
    schema = pa.schema([("", pa.struct([(name, _as_parsed(kind)) for name, kind in kinds.items()]))])
    parse = arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior=unexpected)
    for size in dict.fromkeys((max(1 << 20, len(wrapped) // 4), len(wrapped) + 1)):
        try:
            table = arrow_json.read_json(pa.BufferReader(wrapped), arrow_json.ReadOptions(block_size=size), parse)
            break
        except pa.ArrowInvalid as error:
            if "straddl" not in str(error):  # the second size holds any line
                raise
    column = table.column(0).combine_chunks()
    rows: pa.StructArray = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return rows if table.num_columns == 1 and len(rows) == count and rows.null_count == 0 else None


def _batch(rows: pa.StructArray, arrays: Mapping[str, pa.Array]) -> pa.RecordBatch:
    if not arrays:
        return pa.RecordBatch.from_struct_array(pa.array([{}] * len(rows), pa.struct([])))
    return pa.RecordBatch.from_arrays(list(arrays.values()), list(arrays))


def _as_parsed(kind: pa.DataType) -> pa.DataType:
    """The type as Arrow's parser reads it: dates are texts first, since it takes them for numbers."""
    if pa.types.is_list(kind):
        return pa.list_(_as_parsed(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _as_parsed(field.type)) for field in kind])
    return pa.string() if pa.types.is_date(kind) else kind


def _map(objects: pa.StructArray, kind: pa.MapType) -> pa.Array | None:
    """The objects as maps, keys ascending whatever their order; None where a value has another type."""
    value = kind.item_type
    parsed = {pa.int64()} if pa.types.is_integer(value) else {value}
    parsed = {pa.int64(), pa.float64()} if pa.types.is_floating(value) else parsed
    fields = dict(zip((field.name for field in objects.type), objects.flatten(), strict=True))
    fields = {name: fields[name] for name in sorted(fields) if not pa.types.is_null(fields[name].type)}
    if not {field.type for field in fields.values()} <= parsed:
        return None
    rows, null = len(objects), objects.is_null().to_numpy(zero_copy_only=False)
    there = np.zeros((rows, len(fields)), bool)
    for position, field in enumerate(fields.values()):
        there[:, position] = field.is_valid().to_numpy(zero_copy_only=False)
    row, key = np.nonzero(there)
    every = [field.cast(value, safe=not pa.types.is_floating(value)) for field in fields.values()]
    items = pa.concat_arrays(every).take(pa.array(key * rows + row)) if every else pa.array([], value)
    keys = pa.array(list(fields), pa.string()).take(pa.array(key))
    offsets = np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int32)
    return pa.MapArray.from_arrays(pa.array(offsets, mask=np.append(null, False)), keys, items)


# --------------------------------------------------------------------------------------------- inference

Kind: TypeAlias = "str | list[Any] | dict[str, Any] | None"
"""A type while it is being inferred: a name, a list of one, an object of several, None: nothing but null seen."""


class _Conflict(Exception):  # noqa: N818 (never seen outside)
    """Values that have no type in common."""


def infer_types(sample: bytes) -> dict[str, pa.DataType]:
    """Types by column, in the order in which columns appear; malformed lines are passed over.

    Whole numbers are int64, with other numbers among them float64. An object whose values are all texts, all numbers or
    all booleans is a map, as keys that come later may be others; any other one, and one inside of a list, is a struct.
    Where values have no type in common the first ones' is taken.
    """
    kinds: dict[str, Kind] = {}
    for line in sample.split(b"\n"):
        if not line.strip(BLANK):
            continue
        try:
            row = _load(line)
        except _Malformed:
            continue
        for name, value in row.items():
            try:
                kinds[name] = _merged(kinds.get(name), _kind(value))
            except _Conflict:  # noqa: PERF203 (the sample alone); reading tells it, with the line
                kinds.setdefault(name, None)
    return {name: _arrow(kind, top=True) for name, kind in kinds.items()}


def _kind(value: Any) -> Kind:
    if isinstance(value, list):
        found: Kind = None
        for item in value:
            found = _merged(found, _kind(item))
        return [found]
    if isinstance(value, dict):
        return {name: _kind(item) for name, item in value.items()}
    if isinstance(value, int) and not isinstance(value, bool):
        return "int64" if -(1 << 63) <= value < 1 << 63 else "float64"
    return {bool: "bool", float: "float64", str: "string"}.get(type(value))


def _merged(one: Kind, other: Kind) -> Kind:
    if one is None or other is None or one == other:
        return other if one is None else one
    if isinstance(one, list) and isinstance(other, list):
        return [_merged(one[0], other[0])]
    if isinstance(one, dict) and isinstance(other, dict):
        return one | {name: _merged(one.get(name), kind) for name, kind in other.items()}
    if isinstance(one, str) and isinstance(other, str) and {one, other} == {"int64", "float64"}:
        return "float64"
    raise _Conflict


def _arrow(kind: Kind, *, top: bool = False) -> pa.DataType:
    if kind is None:
        return pa.string()
    if isinstance(kind, str):
        return SCALARS[kind]
    if isinstance(kind, list):
        return pa.list_(_arrow(kind[0]))
    seen = {item for item in kind.values() if isinstance(item, str)}
    if top and all(item is None or isinstance(item, str) for item in kind.values()):
        seen = {"float64"} if seen == {"int64", "float64"} else seen
        if len(seen) <= 1:
            return pa.map_(pa.string(), SCALARS[next(iter(seen), "string")])
    return pa.struct([(name, _arrow(item)) for name, item in kind.items()])


def suggested(value: Any, kind: pa.DataType | None) -> str:
    """The type to set for a column so that it holds this value beside those of a type; empty if there is none."""
    try:
        return type_text(_arrow(_merged(None if kind is None else _inferred(kind), _kind(value)), top=True))
    except _Conflict:
        return ""


def _inferred(kind: pa.DataType) -> Kind:
    if pa.types.is_list(kind):
        return [_inferred(kind.value_type)]
    if pa.types.is_struct(kind):
        return {field.name: _inferred(field.type) for field in kind}
    if pa.types.is_map(kind):
        return {"": _inferred(kind.item_type)}
    return type_text(kind)


# ---------------------------------------------------------------------------------------------- mending


class _Malformed(Exception):  # noqa: N818 (never seen outside)
    """A line is no JSON object; the message says why, `reason` without the place."""

    def __init__(self, reason: str, text: str = "") -> None:
        super().__init__(text or reason)
        self.reason = reason


class _Misfit(Exception):  # noqa: N818 (never seen outside)
    """A value is not of its column's type; the message says so."""


def _load(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line.decode(), object_pairs_hook=_distinct)
    except UnicodeDecodeError:
        raise _Malformed("is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise _Malformed("is no JSON", f"is no JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise _Malformed("is nested too deep") from None
    except ValueError as error:  # Python reads no number of thousands of digits
        raise _Malformed("is no JSON", f"is no JSON: {error}") from None
    if not isinstance(row, dict):
        raise _Malformed("is no JSON object", f"is no JSON object, but {_shown(row)}")
    return row


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Malformed("gives a key twice", f"gives '{twice}' twice")
    return found


class Mender:
    """Parses a block that has malformed lines, line by line, by the policy for bad rows.

    Args:
        kinds: All columns.
        wanted: Columns of the result; the values of others may be anything.
        policy: What becomes of malformed lines.
        inferred: Columns whose type was inferred; the error says how to state it.

    Attributes:
        counts: Malformed lines by reason.
        left_out: Lines that gave no row, counted among the block's lines that are not blank.
    """

    def __init__(
        self, kinds: Mapping[str, pa.DataType], wanted: Sequence[str], policy: Policy, inferred: Collection[str]
    ) -> None:
        self.kinds, self.wanted, self.policy, self.inferred = kinds, list(wanted), policy, inferred
        self.counts: Counter[str] = Counter()
        self.left_out: list[int] = []
        self._converters = {name: _converter(kinds[name]) for name in wanted}

    def parse(self, block: bytes) -> pa.RecordBatch:
        """The block's rows.

        Raises:
            DataError: A line is malformed and the policy is to fail; its `row` counts the block's lines that are
                not blank.
        """
        rows: list[dict[str, Any]] = []
        for number, line in enumerate(line for line in block.split(b"\n") if line.strip(BLANK)):
            row, bad = self._row(line, number)
            if bad and self.policy == "skip":
                self.left_out.append(number)
            else:
                rows.append(row)
        arrays = [
            pa.array([row.get(name) for row in rows], _as_parsed(self.kinds[name])).cast(self.kinds[name])
            for name in self.wanted
        ]
        if not arrays:
            return pa.RecordBatch.from_struct_array(pa.array([{}] * len(rows), pa.struct([])))
        return pa.RecordBatch.from_arrays(arrays, self.wanted)

    def _row(self, line: bytes, number: int) -> tuple[dict[str, Any], bool]:
        """The wanted values of a line in which Arrow finds nothing wrong, and whether there was something."""
        try:
            row = _load(line)
        except _Malformed as error:
            self._reject(error.reason, str(error), number)
            return {}, True
        bad = False
        for name in row.keys() - self.kinds.keys():
            bad = True
            self._reject("an unknown column", self._unknown(name, row[name]), number, name)
            if self.policy == "skip":
                return {}, True
        values: dict[str, Any] = {}
        for name, convert in self._converters.items():
            value = row.get(name)
            if value is None:
                continue
            try:
                values[name] = convert(value)
            except _Misfit as error:
                bad = True
                kind = type_text(self.kinds[name])
                self._reject(f"no {kind} in '{name}'", f"{error}{self._remedy(name, value)}", number, name)
                if self.policy == "skip":
                    return {}, True
        return values, bad

    def _reject(self, reason: str, text: str, number: int, column: str = "") -> None:
        if self.policy == "fail":
            raise DataError(text, row=number, column=column)
        self.counts[reason] += 1

    def _unknown(self, name: str, value: Any) -> str:
        kind = suggested(value, None) or "string"
        return (
            f"is an unknown column{nearest(name, self.kinds)}; those of the first rows are known, and those of the "
            f"config: `columns: {{{name}: {_quoted(kind)}}}`"
        )

    def _remedy(self, name: str, value: Any) -> str:
        if name not in self.inferred:
            return ""
        kind = suggested(value, self.kinds[name])
        if not kind or kind == type_text(self.kinds[name]):
            return "; the type was inferred from the first rows"
        return f"; the type was inferred from the first rows, set `columns: {{{name}: {_quoted(kind)}}}`"


def _quoted(kind: str) -> str:
    return f'"{kind}"' if "<" in kind else kind


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _converter(kind: pa.DataType) -> Callable[[Any], Any]:
    """What makes a value of JSON one that `pa.array` takes for `_as_parsed(kind)`; raises `_Misfit` for any other."""
    if pa.types.is_list(kind):
        item = _converter(kind.value_type)
        return lambda value: [None if v is None else item(v) for v in _of(value, (list,), kind)]
    if pa.types.is_map(kind):
        item = _converter(kind.item_type)
        return lambda value: [(k, item(v)) for k, v in sorted(_of(value, (dict,), kind).items()) if v is not None]
    if pa.types.is_struct(kind):
        fields = {field.name: _converter(field.type) for field in kind}
        return lambda value: dict(_fields(_of(value, (dict,), kind), fields))
    if pa.types.is_integer(kind):
        most = 1 << (kind.bit_width - 1)

        def whole(value: Any) -> Any:
            if -most <= _of(value, (int,), kind) < most:
                return value
            raise _Misfit(f"{value} is no {kind}")

        return whole
    if pa.types.is_floating(kind):

        def number(value: Any) -> float:
            try:
                return float(_of(value, (int, float), kind))
            except OverflowError:
                raise _Misfit(f"a number of {len(str(value))} digits is no {type_text(kind)}") from None

        return number
    if pa.types.is_boolean(kind):
        return lambda value: _of(value, (bool,), kind)
    return _text if pa.types.is_string(kind) else _moment(kind)


def _of(value: Any, types: tuple[type, ...], kind: pa.DataType) -> Any:
    if type(value) in types:
        return value
    raise _Misfit(f"{_shown(value)} is no {type_text(kind)}")


def _fields(value: dict[str, Any], fields: Mapping[str, Callable[[Any], Any]]) -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if name not in fields:
            raise _Misfit(f"the object has an unknown field '{name}'{nearest(name, fields)}")
        yield name, None if item is None else fields[name](item)


def _text(value: Any) -> str:
    try:
        _of(value, (str,), pa.string()).encode()
    except UnicodeEncodeError:
        raise _Misfit("the text holds half of a surrogate pair") from None
    return str(value)


def _moment(kind: pa.DataType) -> Callable[[Any], Any]:
    def moment(value: Any) -> Any:
        text = pa.array([_of(value, (str,), kind)], pa.string())
        for zone in ("", "UTC") if pa.types.is_timestamp(kind) else ("",):
            try:
                found = pc.cast(text, pa.timestamp(kind.unit, zone) if zone else kind)
            except pa.ArrowInvalid:
                continue
            return value if pa.types.is_date(kind) else found.cast(pa.int64())[0].as_py()
        raise _Misfit(f"{_shown(value)} is no {type_text(kind)}")

    return moment
