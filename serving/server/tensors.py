"""Tensors of the Open Inference Protocol: from JSON, from bytes, and what a model makes of them."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from easyrec.errors import nearest
from serving.catalogue import Catalogue
from serving.server.columns import Question
from serving.server.http import Refused
from serving.server.models import Loaded, Model

TYPES: dict[str, str] = {
    "BOOL": "bool",
    **{f"UINT{n}": f"uint{n}" for n in (8, 16, 32, 64)},
    **{f"INT{n}": f"int{n}" for n in (8, 16, 32, 64)},
    **{f"FP{n}": f"float{n}" for n in (16, 32, 64)},
    "BYTES": "object",
}
"""numpy's names of the protocol's types; BYTES are texts."""
_NAMES = {dtype: name for name, dtype in TYPES.items()}
MOST_DIMENSIONS = 4
_ARROW = {"float": "FP32", "double": "FP64", "halffloat": "FP16", "bool": "BOOL"}
_LISTS = ("list<", "large_list<", "fixed_size_list<")


@dataclass(frozen=True)
class Tensor:
    """A tensor of a request.

    Attributes:
        name: Its name.
        datatype: As the protocol calls it.
        shape: Its shape.
        values: All its values in a row: a numpy array, or Arrow texts for BYTES.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Any

    @property
    def rows(self) -> int:
        """Its leading dimension."""
        return self.shape[0]

    def column(self, is_list: bool) -> pa.Array:
        """As a column: a value for each row, or a list where there is a second dimension."""
        array = self.values if self.datatype == "BYTES" else pa.array(self.values)
        inner = self.shape[1:]
        if inner and int(np.prod(inner)) == 1 and not is_list:
            return array
        for depth in range(len(inner), 0, -1):
            outer = int(np.prod(self.shape[:depth]))
            offsets = np.arange(outer + 1, dtype=np.int64) * self.shape[depth]
            array = pa.LargeListArray.from_arrays(pa.array(offsets), array)
        return array


# --------------------------------------------------------------------------------------------------- reading


def header(entry: Any, most_rows: int, most_length: int) -> tuple[str, str, tuple[int, ...], int]:
    """Name, type, shape and number of values of an entry of `inputs`.

    Raises:
        Refused: It is none, or too large.
    """
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
        raise Refused(400, "tensor", "each of 'inputs' must be an object with a 'name'", column="inputs")
    name, datatype, shape = entry["name"], entry.get("datatype"), entry.get("shape")
    if not isinstance(datatype, str) or datatype not in TYPES:
        raise _wrong(name, f"unknown datatype {str(datatype)[:40]!r}; known: {', '.join(TYPES)}")
    return name, datatype, *checked(name, shape, most_rows, most_length)


def checked(name: str, shape: Any, most_rows: int, most_length: int) -> tuple[tuple[int, ...], int]:
    """A tensor's shape, and the number of its values.

    Raises:
        Refused: It is no shape, or too large.
    """
    whole = isinstance(shape, Sequence) and all(type(n) is int and n >= 0 for n in shape)
    if not whole or not 1 <= len(shape) <= MOST_DIMENSIONS:
        raise _wrong(name, f"'shape' must be a list of 1 to {MOST_DIMENSIONS} whole numbers from 0")
    if shape[0] > most_rows:
        raise _wrong(name, f"has {shape[0]:,} rows, but at most {most_rows:,} are allowed")
    size = 1
    for n in shape[1:]:
        size *= n
        if max(size, n) > most_length:
            raise _wrong(name, f"has more than {most_length:,} values in a row")
    return tuple(shape), size * shape[0]


def from_json(name: str, datatype: str, shape: tuple[int, ...], count: int, data: Any) -> Tensor:
    """A tensor whose values stand in the JSON text, in a row or nested as its shape.

    Raises:
        Refused: They do not fit the shape or the type.
    """
    if not isinstance(data, list):
        raise _wrong(name, "needs 'data', a list")
    flat = data
    if data and isinstance(data[0], list):
        flat = _flattened(name, shape, data)
    if len(flat) != count:
        raise _wrong(name, f"has {len(flat):,} values, but its shape {list(shape)} has {count:,}")
    kinds = set(map(type, flat))
    if datatype == "BYTES":
        if kinds - {str}:
            raise _wrong(name, f"must hold texts, but holds a {_json_name(kinds - {str})}")
        return Tensor(name, datatype, shape, pa.array(flat, pa.string()))
    allowed: set[type] = {bool} if datatype == "BOOL" else {int, float} if datatype[0] == "F" else {int}
    if kinds - allowed:
        raise _wrong(name, f"must hold {datatype}, but holds a {_json_name(kinds - allowed)}")
    try:
        with np.errstate(over="ignore"):
            values = np.array(flat, TYPES[datatype])
    except OverflowError:
        raise _wrong(name, f"holds a number that is no {datatype}") from None
    return _numbers(name, datatype, shape, values)


def _flattened(name: str, shape: tuple[int, ...], data: list[Any]) -> list[Any]:
    for size in shape[1:]:
        if not all(isinstance(part, list) and len(part) == size for part in data):
            raise _wrong(name, f"its lists do not have its shape {list(shape)}")
        data = list(chain.from_iterable(data))
    return data


def _json_name(kinds: set[type]) -> str:
    names = {str: "text", int: "whole number", float: "number", bool: "truth value", list: "list", dict: "object"}
    return names.get(min(kinds, key=lambda kind: kind.__name__), "null")


def from_bytes(name: str, datatype: str, shape: tuple[int, ...], count: int, data: memoryview) -> Tensor:
    """A tensor of the binary extension: little-endian numbers, or texts behind their lengths.

    Raises:
        Refused: It has too few bytes or too many, or a text is not UTF-8.
    """
    if datatype == "BYTES":
        return Tensor(name, datatype, shape, texts(name, split(name, data, count)))
    dtype = np.dtype(TYPES[datatype])
    if len(data) != count * dtype.itemsize:
        wanted = count * dtype.itemsize
        raise _wrong(name, f"has {len(data):,} bytes, but {datatype} of shape {list(shape)} takes {wanted:,}")
    if datatype == "BOOL" and np.any(np.frombuffer(data, np.uint8) > 1):
        raise _wrong(name, "holds a byte that is neither 0 nor 1")
    values = np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype, copy=False)
    return _numbers(name, datatype, shape, values)


def split(name: str, data: memoryview, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Offsets and bytes of texts of which each stands behind its length in four bytes.

    Raises:
        Refused: They are more or fewer than `count`, or end elsewhere than the data.
    """
    size, position = len(data), 0
    ends: list[int] = []
    unpack = struct.Struct("<I").unpack_from
    if count * 4 > size:
        raise _wrong(name, f"has {size:,} bytes, too few for {count:,} texts behind their lengths")
    for _ in range(count):
        if position + 4 > size:
            raise _wrong(name, f"ends within its text number {len(ends)}")
        position += 4 + unpack(data, position)[0]
        ends.append(position)
    if position != size:
        raise _wrong(name, f"its {count:,} texts take {position:,} bytes, but it has {size:,}")
    stops = np.array([0, *ends], np.int64)
    kept = np.ones(size, bool)
    for shift in range(4):
        kept[stops[:-1] + shift] = False
    return stops - 4 * np.arange(count + 1), np.frombuffer(data, np.uint8)[kept]


def texts(name: str, parts: tuple[np.ndarray, np.ndarray]) -> pa.Array:
    """Texts of offsets and bytes.

    Raises:
        Refused: One is not UTF-8.
    """
    offsets, data = parts
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(data)]
    array = pa.Array.from_buffers(pa.string(), len(offsets) - 1, buffers)
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        raise _wrong(name, "holds a text that is not UTF-8") from None
    return array


def _numbers(name: str, datatype: str, shape: tuple[int, ...], values: np.ndarray) -> Tensor:
    if datatype.startswith("FP") and not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0]) // max(1, int(np.prod(shape[1:])))
        raise Refused(
            400,
            "not_finite",
            f"'{name}', row {row}: holds NaN, an infinity or a number beyond its type",
            column=name,
            row=row,
        )
    return Tensor(name, datatype, shape, values)


def _wrong(name: str, text: str) -> Refused:
    return Refused(400, "tensor", f"'{name[:100]}': {text}", column=name[:100])


# ------------------------------------------------------------------------------------------------- questions


def question(model: Model, loaded: Loaded, tensors: Sequence[Tensor]) -> Question:
    """What tensors ask of a model.

    User and context columns have one row and item columns one for each candidate; or all have as many rows, side by
    side.

    Raises:
        Refused: One is unknown, missing, given twice, or of a type or shape that does not fit.
    """
    named = {tensor.name: tensor for tensor in tensors}
    if len(named) < len(tensors):
        seen: set[str] = set()
        twice = next(t.name for t in tensors if t.name in seen or seen.add(t.name))  # type: ignore[func-returns-value]
        raise _wrong(twice, "is given twice")
    if model.config.inputs == "tensors":
        return Question(inputs=_inputs(loaded, named))
    return _columns(model, loaded, named)


def _by_key(model: Model, loaded: Loaded, catalogue: Catalogue, named: Mapping[str, Tensor]) -> Question:
    """Columns of user and context, and a row for each candidate of its key and what the catalogue does not hold."""
    sides = {side: [n for n, own in loaded.columns.items() if own == side] for side in ("user", "context")}
    of_items = (catalogue.key, *catalogue.asked)
    known = {*sides["user"], *sides["context"], *of_items}
    for name in named:
        if name not in known and model.config.unknown_columns == "fail":
            raise Refused(400, "unknown_column", f"'{name[:100]}' {_unread(name, known)}", column=name[:100])
    for name in loaded.columns:
        if name in known and name not in named and model.config.missing_columns == "fail":
            raise Refused(400, "missing_column", f"'{name}': the column is missing", column=name)
    count = named[catalogue.key].rows
    columns: dict[str, pa.Array] = {}
    for name in of_items:
        tensor = named.get(name)
        if tensor is not None and tensor.rows != count:
            raise Refused(400, "shape", f"'{name}': has {tensor.rows} rows, but others have {count}", column=name)
        is_list = loaded.types.get(name, "").startswith(_LISTS)
        columns[name] = pa.nulls(count) if tensor is None else tensor.column(is_list)
    parts = {side: _batch(loaded, named, names, 1) for side, names in sides.items()}
    items = pa.RecordBatch.from_pydict(columns)
    _distinct(model, items)
    return Question(parts["user"], items, parts["context"])


def _unread(name: str, known: Collection[str]) -> str:
    return f"is read by no feature{nearest(name, list(known))}"


def _columns(model: Model, loaded: Loaded, named: Mapping[str, Tensor]) -> Question:
    catalogue = loaded.predictor.catalogue
    if catalogue is not None and catalogue.is_named(named.keys()):
        return _by_key(model, loaded, catalogue, named)
    known = {**loaded.ids, **loaded.columns}
    for name in named:
        if name not in known and model.config.unknown_columns == "fail":
            raise Refused(400, "unknown_column", f"'{name[:100]}' {_unread(name, known)}", column=name[:100])
    # What a feature store has, and ids that no feature reads, are columns of the request where they come with it alone.
    columns = {n: s for n, s in known.items() if n in named or (n in loaded.columns and n not in loaded.stored)}
    if model.config.missing_columns == "fail":
        for name in columns:
            if name not in named:
                raise Refused(400, "missing_column", f"'{name}': the column is missing", column=name)
    sizes = {tensor.rows for name, tensor in named.items() if name in columns}
    once = {named[name].rows for name, side in columns.items() if side != "item" and name in named}
    candidates = {named[name].rows for name, side in columns.items() if side == "item" and name in named}
    if once <= {1} and len(candidates) == 1:
        (count,) = candidates
        parts = {
            side: _batch(
                loaded, named, [n for n, own in columns.items() if own == side], count if side == "item" else 1
            )
            for side in ("user", "item", "context")
        }
        _distinct(model, parts["item"])
        return Question(parts["user"], parts["item"], parts["context"])
    if len(sizes) != 1:
        raise _odd(loaded, named)
    lacking = next((name for name in loaded.columns if name not in columns), None)
    if lacking is not None:
        told = "the column is missing: a feature store fills up requests of one user and its candidates alone"
        raise Refused(400, "missing_column", f"'{lacking}': {told}", column=lacking)
    (count,) = sizes
    return Question(rows=_batch(loaded, named, list(loaded.columns), count))


def _odd(loaded: Loaded, named: Mapping[str, Tensor]) -> Refused:
    """Which of the columns, whose rows do not agree, is to blame: of items an odd one, else one of user or context."""
    rows = {name: named[name].rows for name in loaded.columns if name in named}
    of_items = Counter(count for name, count in rows.items() if loaded.columns[name] == "item")
    common = of_items.most_common(1)[0][0] if of_items else 1
    for name, count in rows.items():
        if loaded.columns[name] == "item" and count != common:
            return Refused(400, "shape", f"'{name}': has {count} rows, but other items' have {common}", column=name)
    name, count = next(((n, c) for n, c in rows.items() if loaded.columns[n] != "item" and c != 1), ("inputs", 0))
    told = f"has {count} rows; a column of the user or context has 1, or all columns have one for each candidate"
    return Refused(400, "shape", f"'{name}': {told}", column=name)


def _distinct(model: Model, items: pa.RecordBatch | None) -> None:
    column = model.config.unique
    if column is None or items is None or column not in items.schema.names:
        return
    values = items.column(column)
    if len(values.unique()) < len(values):
        raise Refused(400, "duplicate_item", f"'{column}': the request has an item twice", column=column)


def _batch(loaded: Loaded, named: Mapping[str, Tensor], columns: list[str], rows: int) -> pa.RecordBatch | None:
    if not columns:
        return None
    arrays = []
    for name in columns:
        tensor, kind = named.get(name), loaded.types.get(name, "string")
        if tensor is None:
            arrays.append(pa.nulls(rows))
            continue
        _check_type(tensor, kind)
        if tensor.rows != rows:
            raise Refused(400, "shape", f"'{name}': has {tensor.rows} rows, but others have {rows}", column=name)
        arrays.append(tensor.column(kind.startswith(_LISTS)))
    return pa.RecordBatch.from_arrays(arrays, columns)


def _check_type(tensor: Tensor, kind: str) -> None:
    """Texts may stand for everything, whole numbers for texts and numbers, and numbers for numbers."""
    wanted, given = datatype_of(kind), tensor.datatype
    if given in ("BYTES", wanted):
        return
    whole = given.startswith(("INT", "UINT"))
    number = given.startswith("FP") and wanted.startswith("FP")
    if (whole and wanted != "BOOL") or number:
        return
    raise _wrong(tensor.name, f"is {given}, but the column takes {wanted}" + ("" if wanted == "BYTES" else " or BYTES"))


def datatype_of(kind: str) -> str:
    """The protocol's name for the values of a column of an Arrow type; BYTES where it has none."""
    inner = kind
    while inner.startswith(_LISTS):
        inner = inner.partition("<")[2].rpartition(">")[0].partition(": ")[2].removesuffix(" not null")
    return _ARROW.get(inner, inner.upper() if inner.upper() in TYPES else "BYTES")


def _inputs(loaded: Loaded, named: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Inputs of the dense part, compared with what it takes: it would read past the end of others."""
    for name in named:
        if name not in loaded.shapes:
            raise Refused(
                400,
                "unknown_column",
                f"'{name[:100]}' is no input{nearest(name, list(loaded.shapes))}",
                column=name[:100],
            )
    arrays: dict[str, np.ndarray] = {}
    for name, (dtype, shape) in loaded.shapes.items():
        tensor = named.get(name)
        if tensor is None:
            raise Refused(400, "missing_column", f"'{name}': the input is missing", column=name)
        if TYPES[tensor.datatype] != dtype:
            raise _wrong(name, f"is {tensor.datatype}, but must be {_NAMES[dtype]}")
        if len(tensor.shape) != len(shape) or tensor.shape[1:] != tuple(shape[1:]):
            raise _wrong(name, f"has the shape {list(tensor.shape)}, but must have {shape}")
        arrays[name] = np.ascontiguousarray(tensor.values).reshape(tensor.shape)
    _check_rows(arrays)
    return arrays


def _check_rows(arrays: Mapping[str, np.ndarray]) -> None:
    """Rows must agree: of the fields with each other, of sequences with their offsets."""
    counts = {name: len(array) for name, array in arrays.items() if name.partition(":")[0] in ("emb", "first", "dense")}
    counts |= {name: len(array) - 1 for name, array in arrays.items() if name.startswith("offsets:")}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"'{name}' has {count}" for name, count in counts.items())
        raise Refused(400, "shape", f"the inputs differ in rows: {told}", column=min(counts, key=lambda n: counts[n]))
    for name, offsets in arrays.items():
        head, _, rest = name.partition(":")
        if head != "offsets":
            continue
        steps = len(arrays.get(f"seq:{rest}", arrays.get(f"rows:{rest}", ())))
        if not len(offsets) or offsets[0] != 0 or offsets[-1] != steps or np.any(np.diff(offsets) < 0):
            raise _wrong(name, f"must ascend from 0 to the number of steps, {steps}")
    for name, rows in arrays.items():
        head, _, rest = name.partition(":")
        if head != "rows":
            continue
        starts = arrays.get(f"offsets:{rest}")
        wanted = None if starts is None else np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        most = max(counts.values(), default=0)
        good = (
            np.array_equal(rows, wanted)
            if wanted is not None
            else not len(rows) or (rows.min() >= 0 and rows.max() < most)
        )
        if not good or len(rows) != len(arrays.get(f"seq:{rest}", rows)):
            raise _wrong(name, "must hold the row of each step")


# -------------------------------------------------------------------------------------------------- metadata


def described(model: Model, loaded: Loaded) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Inputs and outputs as the protocol's metadata lists them."""
    if model.config.inputs == "tensors":
        inputs = [
            {"name": name, "datatype": _NAMES[dtype], "shape": shape} for name, (dtype, shape) in loaded.shapes.items()
        ]
    else:
        inputs = [
            {
                "name": name,
                "datatype": datatype_of(loaded.types[name]),
                "shape": [-1 if side == "item" else 1, *([-1] * loaded.types[name].startswith(_LISTS))],
            }
            for name, side in loaded.columns.items()
        ]
    outputs = [
        {"name": output.name, "datatype": "FP32", "shape": [-1, *output.shape]}
        for output in loaded.predictor.manifest.signature.outputs
    ]
    return inputs, outputs


def selected(loaded: Loaded, names: Sequence[str]) -> list[str]:
    """The outputs that are asked for; all where none is named.

    Raises:
        Refused: One is unknown.
    """
    known = [output.name for output in loaded.predictor.manifest.signature.outputs]
    for name in names:
        if name not in known:
            raise Refused(
                400, "unknown_output", f"no output is called '{name[:100]}'{nearest(name, known)}", column=name[:100]
            )
    return list(dict.fromkeys(names)) or known
