"""What a store is asked over the network and what it answers, in JSON and as Arrow streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from easyrec.store.reader import ReadColumns
from serving.server.config import LimitsConfig
from serving.server.http import Refused, dump
from serving.server.json_body import parse

KEYS = ("model", "ids", "deadline_ms")
ARROW = b"application/vnd.apache.arrow.stream"


@dataclass
class Question:
    """What is asked.

    Attributes:
        ids: By join id.
        model: Whose features; empty: of the only model.
        deadline_ms: Milliseconds after which defaults are taken; None: as the config says.
    """

    ids: Mapping[str, Sequence[Any]]
    model: str = ""
    deadline_ms: float | None = field(default=None)


def read_json(body: bytes, limits: LimitsConfig) -> Question:
    """The question of a body.

    Raises:
        Refused: It is none, or goes beyond the limits.
    """
    data = parse(body, limits.json_depth)
    if not isinstance(data, dict):
        raise Refused(400, "json", "the body must be an object: {model, ids, deadline_ms}")
    for key in data:
        if key not in KEYS:
            raise Refused(400, "unknown_key", f"unknown key '{key[:100]}'; known: {', '.join(KEYS)}", column=key[:100])
    model, ids, deadline = data.get("model", ""), data.get("ids"), data.get("deadline_ms")
    if not isinstance(model, str):
        raise Refused(400, "json", "'model' must be text", column="model")
    if not isinstance(ids, dict) or not all(isinstance(some, list) for some in ids.values()):
        raise Refused(400, "json", "'ids' must be an object: a list of ids by join id", column="ids")
    if deadline is not None and (isinstance(deadline, bool) or not isinstance(deadline, int | float)):
        raise Refused(400, "json", "'deadline_ms' must be a number above 0", column="deadline_ms")
    return checked(Question(ids, model, deadline), limits)


def checked(question: Question, limits: LimitsConfig) -> Question:
    """The question, within the limits.

    Raises:
        Refused: It asks for too much, or for nothing.
    """
    if not question.ids:
        raise Refused(400, "ids", "'ids' names nothing", column="ids")
    count = sum(map(len, question.ids.values()))
    if count > limits.items:
        told = f"the request has {count:,} ids, but at most {limits.items:,} are allowed"
        raise Refused(400, "items", told, column="ids")
    for name, some in question.ids.items():
        if any(isinstance(one, str) and len(one) > limits.text_bytes for one in some):
            raise Refused(400, "text_bytes", f"an id has more than {limits.text_bytes:,} characters", column=name[:100])
    if question.deadline_ms is not None and not question.deadline_ms > 0.0:
        raise Refused(400, "json", "'deadline_ms' must be a number above 0", column="deadline_ms")
    return question


def write_json(question: Question, model: str, found: ReadColumns) -> bytes:
    """The columns of each entity, ids first."""
    columns = {
        name: {name: question.ids[name]}
        | {n: _plain(c) for n, c in zip(batch.schema.names, batch.columns, strict=True)}
        for name, batch in found.items()
    }
    return dump({"model": model, "columns": columns, "defaulted": sorted(found.defaulted)})


def _plain(column: pa.Array) -> Any:
    """A column as the writer of JSON takes it: numbers at once, the rest as Python has it."""
    kind = column.type
    if not column.null_count and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return column.to_numpy()
    return column.to_pylist()


def write_arrow(question: Question, found: ReadColumns) -> bytes:
    """An Arrow stream for each entity, one behind another in the order of the request; ids are the first column."""
    return b"".join(
        stream_of(name, question.ids[name], batch, name in found.defaulted) for name, batch in found.items()
    )


def stream_of(name: str, ids: Sequence[Any], batch: pa.RecordBatch, defaulted: bool) -> bytes:
    """A batch with its ids as an Arrow stream; its metadata tells the join id, and whether it consists of defaults."""
    column = ids if isinstance(ids, pa.Array) else pa.array(ids)
    told = {"join_id": name, "defaulted": "true" if defaulted else "false"}
    schema = pa.schema([pa.field(name, column.type), *batch.schema], metadata=told)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays([column, *batch.columns], schema=schema))
    made: bytes = sink.getvalue().to_pybytes()
    return made
