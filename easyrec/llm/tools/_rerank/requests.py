"""`Requests`: candidates by request, each one's in the ranker's order."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from easyrec.errors import DataError
from easyrec.llm.events import moments, numbers_of, plain
from easyrec.llm.items import batches_of
from easyrec.llm.templates import columns_of, filled
from easyrec.llm.texts import cut
from easyrec.llm.tools.rerank import CandidatesConfig

SEARCH = 500
"""Characters of a query that are told."""


@dataclass(frozen=True)
class Requests:
    """Rows of candidates, those of a request one after another, the ranker's best first.

    Attributes:
        keys: (R,) what tells requests apart.
        begins: (R + 1,) where each one's rows begin.
        ids: (n,) ids of the items.
        item: (n,) their numbers among the texts; -1 of unknown ones.
        score: (n,) float64, the ranker's; minus the place where it has none.
        label: (n,) float64, or None.
        user: (R,) of each request, or None.
        time: (R,) likewise.
        queries: (R,) likewise.
    """

    keys: pa.Array = field(repr=False)
    begins: np.ndarray = field(repr=False)
    ids: pa.Array = field(repr=False)
    item: np.ndarray = field(repr=False)
    score: np.ndarray = field(repr=False)
    label: np.ndarray | None = field(repr=False)
    user: pa.Array | None = field(repr=False)
    time: np.ndarray | None = field(repr=False)
    queries: list[str] | None = field(repr=False)

    def __len__(self) -> int:
        return len(self.keys)

    def rows(self, number: int) -> slice:
        """The rows of a request."""
        return slice(int(self.begins[number]), int(self.begins[number + 1]))


def requests_of(
    config: CandidatesConfig, items: pa.Array, where: str, *, limit: int | None = None, seed: int = 0
) -> Requests:
    """Read them.

    Args:
        config: Where they are.
        items: Ids of the items that have texts.
        where: The section of the config, for errors.
        limit: Only so many requests, drawn.
        seed: Where chance starts.

    Raises:
        ConfigError: A column is missing.
        DataError: They cannot be read, a value is missing or no number, or a request has an item twice.
    """
    named = [] if config.query is None else columns_of(config.query)
    own = [config.request, config.item, config.score, config.label, config.user, config.time, *named]
    wanted = list(dict.fromkeys(one for one in own if one is not None))
    read = list(batches_of(Path(config.path), wanted, where))
    if not sum(batch.num_rows for batch in read):
        raise DataError("has no row", file=config.path)
    table = pa.Table.from_batches(read)
    for name in (config.request, config.item):
        if table[name].null_count:
            raise DataError("a row has none", file=config.path, column=name)
    keys = plain(table[config.request])
    every = keys.unique()
    request = numbers_of(keys, every, config.path, config.request)
    score = -np.arange(len(table), dtype=np.float64)
    if config.score is not None:
        score = np.nan_to_num(_floats(table, config.score, config), nan=-np.inf, neginf=-np.inf, posinf=np.inf)
    if limit is not None and limit < len(every):
        chosen = np.zeros(len(every), bool)
        chosen[np.random.default_rng(seed).permutation(len(every))[:limit]] = True
        kept = np.flatnonzero(chosen[request])
        table, request, score = table.take(pa.array(kept)), request[kept], score[kept]
    order = np.lexsort((-score, request))  # stable: of equal scores the earlier row stands before
    table, request, score = table.take(pa.array(order)), request[order], score[order]
    numbers, begins = np.unique(request, return_index=True)
    ids = plain(table[config.item])
    _once(request, ids, config)
    first = pa.array(begins)
    return Requests(
        every.take(pa.array(numbers)),
        np.append(begins, len(table)),
        ids,
        numbers_of(ids, items, config.path, config.item),
        score,
        None if config.label is None else np.nan_to_num(_floats(table, config.label, config)),
        None if config.user is None else plain(table[config.user].take(first)),
        None if config.time is None else _times(table[config.time].take(first), config),
        None if config.query is None else _queries(config.query, table.take(first).to_pylist()),
    )


def _queries(template: str, rows: list[dict[str, Any]]) -> list[str]:
    """What is searched, by request."""
    return [cut(filled(template, row), SEARCH) for row in rows]


def _floats(table: pa.Table, name: str, config: CandidatesConfig) -> np.ndarray:
    try:
        column = plain(table[name]).cast(pa.float64())
    except pa.ArrowException:
        raise DataError(f"{table.schema.field(name).type} is no number", file=config.path, column=name) from None
    found: np.ndarray = pc.fill_null(column, float("nan")).to_numpy(zero_copy_only=False)
    return found


def _times(column: pa.ChunkedArray, config: CandidatesConfig) -> np.ndarray:
    """When requests were, as events have it."""
    if column.null_count:
        raise DataError("a request has none", file=config.path, column=config.time or "")
    timed: Any = _Timed(config.path, config.time)
    return moments(plain(column), timed)


@dataclass(frozen=True)
class _Timed:
    """What `moments` names in errors."""

    path: str
    time: str | None


def _once(request: np.ndarray, ids: pa.Array, config: CandidatesConfig) -> None:
    """Look whether a request has each item once.

    Raises:
        DataError: It has one twice.
    """
    item = pc.dictionary_encode(ids).indices.to_numpy(zero_copy_only=False)
    order = np.lexsort((item, request))
    same = (np.diff(request[order]) == 0) & (np.diff(item[order]) == 0)
    if same.any():
        twice = ids[int(order[np.flatnonzero(same)[0]])].as_py()
        raise DataError(f"a request has item {twice!r} twice", file=config.path, column=config.item)
