"""A catalogue in a knowledge base: each row of a table a document, with what is known of it to filter by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.json as pj
import pyarrow.parquet as pq

from easyrec.errors import ConfigError, DataError, nearest
from easyrec.retrieval.filters import Fact
from rag.config import COLUMN, ItemsConfig
from rag.knowledge import KnowledgeBase, Report

ROWS = 4096
"""Rows that are read at a time."""


def add_items(
    base: KnowledgeBase, config: ItemsConfig, *, progress: Callable[[str], object] | None = None
) -> tuple[Report, int]:
    """Make a knowledge base hold the items of a table.

    New items are added, changed ones written anew, and those that are no longer in the table taken away.

    Returns:
        What came of it, and how many were taken away.

    Raises:
        ConfigError: The table lacks a column.
        DataError: It cannot be read, or an id is missing or there twice; nothing is taken away then.
        EasyRecError: Items cannot be embedded or written.
    """
    seen: set[str] = set()

    def told() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        for row, item in enumerate(_rows(config), 1):
            number = item[config.id]
            if number is None:
                raise DataError(f"{config.path}, row {row}: column '{config.id}' is empty")
            source = f"{config.prefix}{number}"
            if source in seen:
                raise DataError(f"{config.path}, row {row}: column '{config.id}': {number!r} is there twice")
            seen.add(source)
            facts = {name: values for name in config.facts if (values := _facts(item[name]))}
            yield (
                source,
                _filled(config.text, item),
                {
                    **facts,
                    "item": [number if isinstance(number, int | str) else str(number)],
                },
            )

    report = base.add_texts(told(), progress=progress)
    gone = [source for source in base.records.sources(config.prefix) if source not in seen]
    return report, base.remove_all(gone)


def _rows(config: ItemsConfig) -> Iterator[dict[str, Any]]:
    """The rows of the table, with the columns that are asked for."""
    wanted = list(dict.fromkeys([config.id, *COLUMN.findall(config.text), *config.facts]))
    path = Path(config.path)
    try:
        ending = path.suffix.lower()
        if ending in (".csv", ".tsv", ".jsonl", ".ndjson"):
            options = pc.ParseOptions(delimiter="\t" if ending == ".tsv" else ",", newlines_in_values=True)
            table = pj.read_json(path) if "json" in ending else pc.read_csv(path, parse_options=options)
            _check(config, table.column_names, wanted)
            batches: Iterator[pa.RecordBatch] = iter(table.select(wanted).to_batches(ROWS))
        else:
            file = pq.ParquetFile(path)
            _check(config, file.schema_arrow.names, wanted)
            batches = file.iter_batches(ROWS, columns=wanted)
        for batch in batches:
            yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{config.path}: cannot be read: {error}") from None


def _check(config: ItemsConfig, there: list[str], wanted: list[str]) -> None:
    for name in wanted:
        if name not in there:
            raise ConfigError(f"items: {config.path} has no column '{name}'{nearest(name, there)}")


def _filled(text: str, item: Mapping[str, Any]) -> str:
    """The text of an item."""
    return COLUMN.sub(lambda found: _words(item[found.group(1)]), text)


def _facts(value: Any) -> list[Fact]:
    """A cell as facts."""
    values = value if isinstance(value, list) else [value]
    return [each if isinstance(each, bool | int | float | str) else str(each) for each in values if each is not None]


def _words(value: Any) -> str:
    """A cell as it is read."""
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(_words(each) for each in value)
    return str(round(value, 4)).removesuffix(".0") if isinstance(value, float) else str(value)
