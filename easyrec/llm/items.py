"""Items and users as texts: the rows of a table, and templates that their values fill."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.json as pj
import pyarrow.parquet as pq

from easyrec.errors import ConfigError, DataError, nearest

COLUMN = re.compile(r"\{([^{}]*)\}")
ROWS = 4096
"""Rows that are read at a time."""


def columns_of(template: str) -> list[str]:
    """The columns that a template names, each once."""
    return list(dict.fromkeys(COLUMN.findall(template)))


def template_of(value: str) -> str:
    """A template, for validators.

    Raises:
        ValueError: A brace has no other one, or encloses nothing.
    """
    left = COLUMN.sub("", value)
    if "{" in left or "}" in left:
        raise ValueError("a brace has no other one: columns are written {column}")
    if any(not name.strip() for name in columns_of(value)):
        raise ValueError("{} names no column")
    return value


def filled(template: str, row: Mapping[str, Any]) -> str:
    """A template with the values of a row: lists are told with commas, what is missing is empty."""
    return COLUMN.sub(lambda found: words(row[found.group(1)]), template)


def words(value: Any) -> str:
    """A cell as it is read."""
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(words(each) for each in value)
    return str(round(value, 4)).removesuffix(".0") if isinstance(value, float) else str(value)


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


def _check(there: Sequence[str], wanted: Sequence[str], path: Path, where: str) -> None:
    for name in wanted:
        if name not in there:
            raise ConfigError(f"{where}: {path} has no column '{name}'{nearest(name, there)}")
