"""The rows of an offline table, batch after batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from easyrec.store.duck import connection, quoted, require, types_of

AT_ONCE = 65_536


def batches(source: Any, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Some columns of all rows of a table.

    Raises:
        DataError: It cannot be read, or has no such column.
        MissingExtra: duckdb is not installed.
    """
    db = connection()
    try:
        source.scan(db, "given")
        require(types_of(db, "given"), columns, "the rows have")
        chosen = ", ".join(quoted(name) for name in columns)
        yield from db.sql(f"SELECT {chosen} FROM given").to_arrow_reader(AT_ONCE)  # noqa: S608 (quoted)
    finally:
        db.close()
