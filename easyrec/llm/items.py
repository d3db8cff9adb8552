"""Items and users as rows of a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.json as pj
import pyarrow.parquet as pq

from easyrec.durable import write_bytes
from easyrec.errors import ConfigError, DataError, RunError, nearest

ROWS = 4096
"""Rows that are read at a time."""


def batches_of(path: Path, wanted: Sequence[str], where: str) -> Iterator[pa.RecordBatch]:
    """Columns of a table, some rows at a time.

    Args:
        path: A file of Parquet, CSV (`.csv`, `.tsv`) or JSON lines (`.jsonl`, `.ndjson`).
        wanted: The columns.
        where: The section of the config that names the file, for errors.

    Raises:
        ConfigError: The table lacks a column.
        DataError: It cannot be read.
    """
    try:
        ending = path.suffix.lower()
        if ending in (".csv", ".tsv", ".jsonl", ".ndjson"):
            options = pc.ParseOptions(delimiter="\t" if ending == ".tsv" else ",", newlines_in_values=True)
            table = pj.read_json(path) if "json" in ending else pc.read_csv(path, parse_options=options)
            _check(table.column_names, wanted, path, where)
            yield from table.select(list(wanted)).to_batches(ROWS)
        else:
            file = pq.ParquetFile(path)
            _check(file.schema_arrow.names, wanted, path, where)
            yield from file.iter_batches(ROWS, columns=list(wanted))
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def rows_of(path: Path, wanted: Sequence[str], where: str) -> Iterator[dict[str, Any]]:
    """The same, row by row."""
    for batch in batches_of(path, wanted, where):
        yield from batch.to_pylist()


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file, all of it or nothing.

    Raises:
        RunError: The disk refuses; a former file stays.
    """
    held = pa.BufferOutputStream()
    pq.write_table(table, held)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from None
    write_bytes(path, held.getvalue().to_pybytes())


def _check(there: Sequence[str], wanted: Sequence[str], path: Path, where: str) -> None:
    for name in wanted:
        if name not in there:
            raise ConfigError(f"{where}: {path} has no column '{name}'{nearest(name, there)}")
