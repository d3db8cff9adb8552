"""What messages hold: a JSON object each, or Arrow record batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import pyarrow as pa

from easyrec.data.sources import Policy
from easyrec.data.sources._json_lines import infer_types, parse_lines
from easyrec.data.sources._lines import Parsed, one_batch
from easyrec.errors import DataError


class Payload(ABC):
    """How rows are written in messages.

    Args:
        given: Types by column, as the config says.
        policy: What becomes of malformed messages.

    Attributes:
        columns: Types by column; those that were not given are known after `infer`.
        inferred: Columns whose type was not given.
        kind: What a message should be, for errors.
    """

    kind: ClassVar[str]

    def __init__(self, given: Mapping[str, pa.DataType], policy: Policy) -> None:
        self.given, self.policy = dict(given), policy
        self.columns: dict[str, pa.DataType] = dict(given)
        self.inferred: set[str] = set()

    def infer(self, messages: Sequence[bytes | None]) -> None:
        """Learn columns that were not given from some messages; malformed ones are passed over."""
        found = self._inferred([message for message in messages if message])
        self.inferred = found.keys() - self.given.keys()
        self.columns = found | self.given

    @abstractmethod
    def _inferred(self, messages: Sequence[bytes]) -> dict[str, pa.DataType]: ...

    @abstractmethod
    def parse(self, messages: Sequence[bytes | None], wanted: Sequence[str]) -> tuple[Parsed, np.ndarray]:
        """The rows, and how many each message has; `left_out` counts messages.

        Args:
            messages: Their values; None of one without.
            wanted: Columns of the result.

        Raises:
            DataError: A message is malformed and may not be; its `row` counts the messages.
        """


class JsonPayload(Payload):
    """One JSON object a message."""

    kind = "a JSON object"

    def _inferred(self, messages: Sequence[bytes]) -> dict[str, pa.DataType]:
        return infer_types(_lines(messages))

    def parse(self, messages: Sequence[bytes | None], wanted: Sequence[str]) -> tuple[Parsed, np.ndarray]:
        """All messages at once, as lines of a file."""
        parsed = parse_lines(_lines(messages), self.columns, wanted, self.policy, self.inferred)
        rows = np.ones(len(messages), np.int64)
        rows[list(parsed.left_out)] = 0
        return parsed, rows


def _lines(messages: Sequence[bytes | None]) -> bytes:
    """One line per message: what has no value is a malformed line, and not a blank one, which would not count."""
    found = [b"null" if not message or message.isspace() else message for message in messages]
    body = b"\n".join(found)
    if body.count(b"\n") < len(messages):
        return body
    return b"\n".join([message.replace(b"\n", b" ") for message in found])


class ArrowPayload(Payload):
    """An Arrow IPC stream a message; or a record batch alone, where the config gives all columns in its order."""

    kind = "an Arrow IPC stream"

    def _inferred(self, messages: Sequence[bytes]) -> dict[str, pa.DataType]:
        for message in messages:
            try:
                schema = pa.ipc.open_stream(message).schema
            except (pa.ArrowException, OSError, EOFError):
                continue
            return {field.name: field.type for field in schema}
        return {}

    def parse(self, messages: Sequence[bytes | None], wanted: Sequence[str]) -> tuple[Parsed, np.ndarray]:
        """Message by message: each holds many rows."""
        schema = pa.schema([(name, self.columns[name]) for name in wanted])
        rows, counts, left_out = np.zeros(len(messages), np.int64), Counter[str](), []
        tables = []
        for number, message in enumerate(messages):
            try:
                table = self._table(message, schema)
            except _Malformed as error:  # noqa: PERF203 (each message holds many rows)
                if self.policy == "fail":
                    raise DataError(str(error), row=number, column=error.column) from None
                counts[error.reason] += 1  # no default can stand for a whole message
                left_out.append(number)
            else:
                rows[number] = table.num_rows
                tables.append(table)
        whole = one_batch(pa.concat_tables(tables)) if tables else pa.RecordBatch.from_pylist([], schema)
        return Parsed(whole, left_out, counts), rows

    def _table(self, message: bytes | None, schema: pa.Schema) -> pa.Table:
        if not message:
            raise _Malformed("has no value")
        try:
            read = pa.ipc.read_message(message)
            if read.type == "record batch":
                found = pa.Table.from_batches([pa.ipc.read_record_batch(read, pa.schema(list(self.given.items())))])
            else:
                found = pa.ipc.open_stream(message).read_all()
            found.validate(full=True)
        except (pa.ArrowException, OSError, EOFError, ValueError, KeyError) as error:
            text = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise _Malformed("is no Arrow IPC stream", f"is no Arrow IPC stream: {text}") from None
        arrays = []
        for field in schema:
            index = found.schema.get_field_index(field.name)
            if index < 0:
                raise _Malformed(f"no column '{field.name}'", "is not in this message", field.name)
            array = found.column(index)
            if array.type != field.type:
                try:
                    array = array.cast(field.type)
                except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                    text = f"is {array.type} here, but {field.type} elsewhere"
                    raise _Malformed(f"another type of '{field.name}'", text, field.name) from None
            arrays.append(array)
        if not arrays:
            return pa.Table.from_struct_array(pa.array([{}] * found.num_rows, pa.struct([])))
        return pa.Table.from_arrays(arrays, schema=schema)


class _Malformed(Exception):  # noqa: N818 (never seen outside)
    """A message cannot be read; `reason` is counted, the message is shown."""

    def __init__(self, reason: str, text: str = "", column: str = "") -> None:
        super().__init__(text or reason)
        self.reason, self.column = reason, column


PAYLOADS: dict[str, type[Payload]] = {"json": JsonPayload, "arrow": ArrowPayload}
