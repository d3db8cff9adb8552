"""The rows of an offline table, batch after batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from easyrec.errors import DataError, MissingExtra, nearest
from easyrec.store.duck import quoted

AT_ONCE = 65_536


def batches(source: Any, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Some columns of all rows of a table.

    Raises:
        DataError: It cannot be read, or has no such column.
        MissingExtra: duckdb is not installed.
    """
    try:
        import duckdb  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError:
        raise MissingExtra("duckdb", "store") from None
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        source.scan(db, "given")
        known = [row[0] for row in db.execute("DESCRIBE SELECT * FROM given").fetchall()]
        for name in columns:
            if name not in known:
                raise DataError(f"the rows have no such column{nearest(name, known)}", column=name)
        chosen = ", ".join(quoted(name) for name in columns)
        yield from db.sql(f"SELECT {chosen} FROM given").to_arrow_reader(AT_ONCE)  # noqa: S608 (quoted)
