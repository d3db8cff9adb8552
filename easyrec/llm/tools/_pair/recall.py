"""The recall table: for each item the popular ones of the categories that go with its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from easyrec.durable import sync
from easyrec.errors import DataError, RunError
from easyrec.llm.tools._pair.pairs import Pair
from easyrec.llm.tools._pair.tables import Floats, Ints, Stock
from easyrec.llm.tools.pair import Recall

ROWS = 1 << 18
"""Rows that are written at a time, about."""


def write_recall(config: Recall, pairs: Sequence[Pair], stock: Stock, categories: int) -> int:
    """Write it; returns its rows.

    The score of a neighbour is the pair's, times a half to one by its place among the popular ones of its category.

    Args:
        config: What it is made of.
        pairs: Categories that go together.
        stock: The items.
        categories: How many there are.

    Raises:
        DataError: It would have more rows than it may.
        RunError: The disk refuses; a former table stays.
    """
    kept = [one for one in pairs if one.kind in config.kinds]
    order = np.lexsort((np.arange(len(stock.category)), -stock.popularity, stock.category))
    starts = np.searchsorted(stock.category[order], np.arange(categories + 1))
    lists: dict[int, tuple[Ints, Floats]] = {}
    by_category: dict[int, list[Pair]] = {}
    for one in kept:
        by_category.setdefault(one.category, []).append(one)
    sizes = np.diff(starts)
    for category, own in by_category.items():
        if sizes[category]:
            lists[category] = _neighbours(config, own, order, starts)
    total = int(sum(int(sizes[category]) * len(near) for category, (near, _) in lists.items()))
    if total > config.rows:
        told = f"{config.output}: would have {total:,} rows, and 'recall.rows' allows {config.rows:,}"
        raise DataError(f"{told}; lower 'recall.each' or 'recall.per_pair'")
    path = Path(config.output)
    partial = path.with_name(f".{path.name}.writing")
    schema = pa.schema([("item", stock.ids.type), ("neighbour", stock.ids.type), ("score", pa.float32())])
    try:
        with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
            for category in sorted(lists):
                near, score = lists[category]
                step = max(1, ROWS // max(len(near), 1))
                items = order[starts[category] : starts[category + 1]]
                for first in range(0, len(items) if len(near) else 0, step):
                    some = items[first : first + step]
                    writer.write_table(
                        pa.table(
                            [
                                stock.ids.take(pa.array(np.repeat(some, len(near)))),
                                stock.ids.take(pa.array(np.tile(near, len(some)))),
                                pa.array(np.tile(score, len(some)).astype(np.float32)),
                            ],
                            schema=schema,
                        )
                    )
        sync(partial)
        partial.replace(path)
        sync(path.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
    return total


def _neighbours(config: Recall, pairs: Sequence[Pair], order: Ints, starts: Ints) -> tuple[Ints, Floats]:
    """Items that go with those of a category, the best first, none twice."""
    found, scores = [], []
    for one in pairs:
        near = order[starts[one.paired] : starts[one.paired + 1]][: config.per_pair]
        found.append(near)
        scores.append(one.score * (0.5 + 0.5 / np.sqrt(1.0 + np.arange(len(near)))))
    near, score = np.concatenate(found), np.concatenate(scores)
    best = np.argsort(-score, kind="stable")
    _, first = np.unique(near[best], return_index=True)  # of two kinds of pairs a category may be in both
    chosen = best[np.sort(first)][: config.each]
    return near[chosen], score[chosen]
