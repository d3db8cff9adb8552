"""Items and events as numbers: which category an item is of, how popular it is, and who bought what when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from easyrec.errors import DataError
from easyrec.llm.items import batches_of
from easyrec.llm.tools.pair import Events, Items

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Stock:
    """Items.

    Attributes:
        ids: (n,) their ids.
        category: (n,) the place of their category; -1 of none that is known.
        popularity: (n,).
    """

    ids: pa.Array
    category: Ints
    popularity: Floats


@dataclass(frozen=True)
class Bought:
    """Events of items that are known, the oldest first.

    Attributes:
        user: (n,) numbers of users.
        item: (n,) places in the stock.
        category: (n,) their categories; none is -1.
        time: (n,) when, in whatever unit.
        strange: Events of items that are not known, or of no category.
    """

    user: Ints
    item: Ints
    category: Ints
    time: npt.NDArray[Any]
    strange: int


def columns_of(path: str, names: Sequence[str], where: str) -> list[pa.Array]:
    """Whole columns of a table."""
    batches = list(batches_of(Path(path), names, where))
    if not batches or not sum(batch.num_rows for batch in batches):
        raise DataError(f"{where}: {path} has no row")
    table = pa.Table.from_batches(batches)
    return [_plain(table.column(name)) for name in names]


def _plain(column: pa.ChunkedArray) -> pa.Array:
    made = column.combine_chunks()
    return made.dictionary_decode() if isinstance(made, pa.DictionaryArray) else made


def place_in(values: pa.Array, known: pa.Array, path: str, column: str) -> Ints:
    """(n,) where values stand among those that are known; -1 of those that do not.

    Raises:
        DataError: They are of another type, which cannot be made the same.
    """
    try:
        same = values if values.type == known.type else values.cast(known.type)
    except pa.ArrowException:
        told = f"{path}: column '{column}' holds {values.type}, and the ids that it refers to are {known.type}"
        raise DataError(told) from None
    found: Ints = pc.fill_null(pc.index_in(same, known), -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def stock_of(config: Items, categories: pa.Array) -> Stock:
    """The items.

    Raises:
        ConfigError: The table lacks a column.
        DataError: It cannot be read, has an item twice, or none of a category that is known.
    """
    names = [config.item, config.category, *([config.popularity] if config.popularity else [])]
    ids, category, *more = columns_of(config.path, list(dict.fromkeys(names)), "items")
    if ids.null_count or pc.count_distinct(ids).as_py() != len(ids):
        raise DataError(f"{config.path}: an item stands there twice, or without '{config.item}'")
    own = place_in(category, categories, config.path, config.category)
    if not (own >= 0).any():
        raise DataError(f"{config.path}: no item is of a category that 'names' has; see its column '{config.category}'")
    popularity = np.zeros(len(ids))
    if more:
        try:
            popularity = np.nan_to_num(pc.fill_null(more[0].cast(pa.float64()), 0.0).to_numpy(zero_copy_only=False))
        except pa.ArrowException:
            raise DataError(
                f"{config.path}: column '{config.popularity}' holds no numbers, but {more[0].type}"
            ) from None
    return Stock(ids, own, popularity)


def bought_of(config: Events, stock: Stock) -> Bought:
    """The events.

    Raises:
        ConfigError: The table lacks a column.
        DataError: It cannot be read, or no event is of an item that is known.
    """
    user, item, time = columns_of(config.path, [config.user, config.item, config.time], "events")
    place = place_in(item, stock.ids, config.path, config.item)
    when = _times(time, config)
    who = pc.dictionary_encode(user).indices
    known = (
        (place >= 0)
        & pc.is_valid(user).to_numpy(zero_copy_only=False)
        & pc.is_valid(time).to_numpy(zero_copy_only=False)
    )
    known[known] = stock.category[place[known]] >= 0
    if not known.any():
        raise DataError(f"{config.path}: no event is of an item of 'items'; see its column '{config.item}'")
    users = pc.fill_null(who, 0).to_numpy(zero_copy_only=False).astype(np.int64)[known]
    place, when = place[known], when[known]
    order = np.argsort(when, kind="stable")
    place = place[order]
    return Bought(users[order], place, stock.category[place], when[order], int((~known).sum()))


def _times(time: pa.Array, config: Events) -> npt.NDArray[Any]:
    """Times as numbers that can be ordered."""
    if pa.types.is_temporal(time.type) and not pa.types.is_duration(time.type):
        time = time.cast(pa.timestamp("us")).cast(pa.int64())
    if not (pa.types.is_integer(time.type) or pa.types.is_floating(time.type)):
        raise DataError(f"{config.path}: column '{config.time}' holds no times, but {time.type}")
    filled: npt.NDArray[Any] = pc.fill_null(time, 0).to_numpy(zero_copy_only=False)
    return filled
