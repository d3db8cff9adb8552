"""The tables of a config, read: queries, examples and bid words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from easyrec.errors import DataError
from easyrec.llm.items import batches_of
from easyrec.llm.rewriting.config import BidWordsConfig, ExamplesConfig, QueriesConfig
from easyrec.llm.rewriting.rewrites import Ask


@dataclass
class Examples:
    """Queries with rewrites that people liked, each once.

    Attributes:
        queries: They.
        categories: Of each; None where it is not known.
        rewrites: Of each, the best first.
    """

    queries: list[str] = field(default_factory=list)
    categories: list[str | None] = field(default_factory=list)
    rewrites: list[tuple[str, ...]] = field(default_factory=list)


@dataclass
class Names:
    """What the tables name.

    Attributes:
        brands: Each once.
        categories: Likewise.
    """

    brands: list[str]
    categories: list[str]


def read_queries(config: QueriesConfig, head: int) -> tuple[list[Ask], Names, float]:
    """The most frequent queries, what the table names, and how often all of its queries were searched together.

    Raises:
        ConfigError: The table lacks a column.
        DataError: It cannot be read, or a column holds something else.
    """
    given = {"query": config.query, "category": config.category, "brand": config.brand, "count": config.count}
    table = _read(config.path, given, "rewrite.queries")
    names = Names(_distinct(table, "brand"), _distinct(table, "category"))
    keys = [name for name in ("query", "category", "brand") if name in table.column_names]
    if config.count is None:
        table = table.append_column("count", pa.array([1.0] * len(table), pa.float64()))
    rows = table.append_column("row", pa.array(range(len(table)), pa.int64()))
    grouped = rows.group_by(keys).aggregate([("count", "sum"), ("row", "min")])
    order = [("count_sum", "descending"), ("row_min", "ascending")] if config.count else [("row_min", "ascending")]
    top = grouped.sort_by(order).slice(0, head)
    total = float(pc.sum(table["count"]).as_py() or 0.0)
    asks = [
        Ask(row["query"], row.get("category") or None, row.get("brand") or None, float(row["count_sum"]))
        for row in top.to_pylist()
    ]
    return asks, names, total


def read_examples(config: ExamplesConfig) -> Examples:
    """Examples; of the same query in several categories each is one.

    Raises:
        ConfigError: The table lacks a column.
        DataError: It cannot be read, or a column holds something else.
    """
    given = {"query": config.query, "rewrite": config.rewrite, "category": config.category, "count": config.count}
    table = _read(config.path, given, "rewrite.examples")
    table = table.filter(pc.not_equal(pc.utf8_length(table["rewrite"]), 0))
    if config.count is not None:
        table = table.sort_by([("count", "descending")])
    known: dict[tuple[str, str | None], dict[str, None]] = {}
    columns = [table[name].to_pylist() for name in ("query", "rewrite")]
    categories = table["category"].to_pylist() if config.category is not None else [None] * len(table)
    for query, rewrite, category in zip(*columns, categories, strict=True):
        own = known.setdefault((query, category or None), {})
        if len(own) < config.rewrites:
            own[rewrite] = None
    found = Examples()
    for (query, category), rewrites in known.items():
        found.queries.append(query)
        found.categories.append(category)
        found.rewrites.append(tuple(rewrites))
    return found


def read_bid_words(config: BidWordsConfig) -> list[str]:
    """Bid words, each once.

    Raises:
        ConfigError: The table lacks the column.
        DataError: It cannot be read, or the column holds something else.
    """
    table = _read(config.path, {"bid_word": config.bid_word}, "rewrite.bid_words")
    return [word for word in pc.unique(table["bid_word"]).to_pylist() if word.strip()]


def _read(path: str, columns: dict[str, str | None], where: str) -> pa.Table:
    """Some columns by the names that they have here; rows without a text in the first one are left out."""
    wanted = {name: column for name, column in columns.items() if column is not None}
    batches = list(batches_of(Path(path), list(dict.fromkeys(wanted.values())), where))
    if not batches:
        raise DataError(f"{path}: has no rows")
    table = pa.Table.from_batches(batches)
    found = {name: _cast(table[column], name, column, path) for name, column in wanted.items()}
    made = pa.table(found)
    first = next(iter(found))
    texts: Sequence[str] = [name for name in ("query", "rewrite", "bid_word") if name in found]
    for name in texts:
        made = made.filter(pc.is_valid(made[name]))
    made = made.filter(pc.not_equal(pc.utf8_length(pc.utf8_trim_whitespace(made[first])), 0))
    if not len(made):
        raise DataError(f"{path}: column '{wanted[first]}' holds no text")
    return made


def _cast(column: pa.ChunkedArray, name: str, called: str, path: str) -> pa.ChunkedArray:
    wanted: Any = pa.float64() if name == "count" else pa.large_string()
    try:
        if name == "count":
            return pc.fill_null(column.cast(wanted), 0.0)
        return column.cast(wanted)
    except pa.ArrowException:
        what = "numbers" if name == "count" else "texts"
        raise DataError(f"{path}: column '{called}' holds {column.type}, but {what} are needed") from None


def _distinct(table: pa.Table, name: str) -> list[str]:
    if name not in table.column_names:
        return []
    return [value for value in pc.unique(table[name]).to_pylist() if value]
