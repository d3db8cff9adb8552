"""Messages into columns: JSON objects by Arrow's parser, and what is malformed among them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json as arrow_json

ZONE = r":\d\d(\.\d+)?(Z|[+-]\d\d(:?\d\d)?)$"
"""How a text ends that names the zone of its time."""
DATE = r"^\d{4}-\d\d-\d\d$"


def decode_json(messages: Sequence[bytes | None], schema: pa.Schema) -> tuple[pa.RecordBatch, list[tuple[int, str]]]:
    """Columns of messages that are a JSON object each.

    Members that the schema does not name are passed over, those that are not there are null.

    Args:
        messages: What they hold.
        schema: Columns.

    Returns:
        The rows of those that could be read, and place and reason of the others, ascending.
    """
    return salvaged(len(messages), lambda start, stop: _parsed(messages[start:stop], schema), schema)


def salvaged(
    count: int, parse: Callable[[int, int], pa.RecordBatch], schema: pa.Schema
) -> tuple[pa.RecordBatch, list[tuple[int, str]]]:
    """What can be parsed of some items, where one that cannot spoils all that are parsed with it: by halves.

    Args:
        count: Items.
        parse: Rows of the items from a place to another; raises ValueError, of which an `ArrowInvalid` is one.
        schema: Of the rows.
    """
    batches: list[pa.RecordBatch] = []
    left_out: list[tuple[int, str]] = []
    waiting = [(0, count)] if count else []
    while waiting:
        start, stop = waiting.pop()
        try:
            batches.append(parse(start, stop))
        except ValueError as error:
            if stop - start == 1:
                left_out.append((start, _said(str(error), schema)))
                continue
            middle = (start + stop) // 2
            waiting += [(middle, stop), (start, middle)]
    if len(batches) == 1:
        return batches[0], left_out
    whole = pa.Table.from_batches(batches, schema).combine_chunks().to_batches()
    return whole[0] if whole else pa.RecordBatch.from_pylist([], schema), left_out


def _said(error: str, schema: pa.Schema) -> str:
    """What the parser says of one item, in words."""
    text = (error.strip() or "malformed").splitlines()[0][:200]
    text = text.removeprefix("JSON parse error: ").removesuffix(" in row 0").rstrip(".")
    found = re.fullmatch(r"Column\(//(.+)\) changed from \w+ to (\w+)", text)
    if found is not None and found[1] in schema.names:
        return f"'{found[1]}' is {found[2]}, not {schema.field(found[1]).type}"
    found = re.fullmatch(r"Column\(//(.+)\) was specified twice", text)
    if found is not None:
        return f"'{found[1]}' is there twice"
    if text.startswith("Column(/) changed"):
        return "is no JSON object"
    return "is no JSON" if text == "Invalid value" else text


def kept(count: int, left_out: Sequence[tuple[int, str]]) -> np.ndarray:
    """Places of the items that could be read."""
    there = np.ones(count, bool)
    there[[place for place, _ in left_out]] = False
    return np.flatnonzero(there)


def _parsed(messages: Sequence[bytes | None], schema: pa.Schema) -> pa.RecordBatch:
    lines = [b"null" if not message or message.isspace() else message for message in messages]
    if any(b"\n" in line for line in lines):
        lines = [line.replace(b"\n", b" ") for line in lines]  # a break in JSON is a blank
    # Each message is the value of an object of its own, so that two values in one are refused, and so that Arrow, which
    # dies of a bare `null`, does not see one.
    body = b'{"":' + b'}\n{"":'.join(lines) + b"}"
    body.isascii() or body.decode()  # Arrow would pass wrong bytes on as text
    parsed = {field.name: _as_parsed(field.type) for field in schema}
    options = arrow_json.ParseOptions(
        explicit_schema=pa.schema([("", pa.struct(list(parsed.items())))]), unexpected_field_behavior="ignore"
    )
    read = arrow_json.ReadOptions(use_threads=False, block_size=len(body) + 1)
    column = arrow_json.read_json(pa.BufferReader(body), read, options).column(0)
    rows = column.combine_chunks()
    rows = rows.chunk(0) if isinstance(rows, pa.ChunkedArray) else rows
    if len(rows) != len(messages) or rows.null_count:
        raise ValueError("is no JSON object")
    return pa.RecordBatch.from_arrays(
        [from_text(rows.field(field.name), field.type) for field in schema], schema=schema
    )


def from_text(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Values of a type, where they may be texts: times without a zone are UTC.

    Raises:
        ValueError: One is none of this type.
    """
    if pa.types.is_timestamp(kind) and pa.types.is_string(values.type):
        zone = pc.if_else(pc.match_substring_regex(values, ZONE), "", "Z")
        clock = pc.if_else(pc.match_substring_regex(values, DATE), "T00:00:00", "")
        values = pc.binary_join_element_wise(values, clock, zone, "")
    return values.cast(kind)


def _as_parsed(kind: pa.DataType) -> pa.DataType:
    """The type as the parser reads it: it knows no zones of times, and no lists of fixed size."""
    if pa.types.is_timestamp(kind):
        return pa.string()
    return pa.list_(kind.value_type) if pa.types.is_fixed_size_list(kind) else kind
