"""The nearest items of many users: rows of users in, a list of items per user out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from easyrec.batch import Batch
from easyrec.config import Experiment
from easyrec.config.parts import NO_ITEMS
from easyrec.data import Part, Source, make_loader
from easyrec.data.beside import raw_name
from easyrec.data.catalogue import read_catalogue
from easyrec.data.sides import Sides
from easyrec.errors import ConfigError
from easyrec.retrieval.items import Items, nearest
from easyrec.train.codes import trie_of
from easyrec.train.scorer import Scorer

logger = logging.getLogger("easyrec.train")


class Searched:
    """Items that a model searches for: those of `data.items`.

    Args:
        experiment: What was trained.
        scorer: Its weights.

    Attributes:
        ids: (N,) their ids in the data.
        catalogue: The items.
        trie: The same by their codes.

    Raises:
        ConfigError: The config names no items.
        DataError: An item is bad, or none has codes.
    """

    def __init__(self, experiment: Experiment, scorer: Scorer) -> None:
        if experiment.data.items is None:
            raise experiment.placed(ConfigError([NO_ITEMS]))
        source = experiment.data.items.open(experiment.data.bad_rows)
        self.catalogue = read_catalogue(source, Sides(experiment))
        self.ids: pa.Array = self.catalogue.ids
        self.trie = trie_of(scorer.collection, experiment, self.catalogue)

    def search(
        self, scorer: Scorer, batch: Batch, groups: Collection[str], k: int, spared: np.ndarray, whom: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(B, k) the items of users, -1 behind the last, and (B, k) their scores.

        Args:
            scorer: The model.
            batch: The users.
            groups: What describes them.
            k: How many are found.
            spared: Ids of the key feature that users do not get.
            whom: Whose they are.
        """
        numbers = self.catalogue.find(spared)
        known = numbers >= 0
        return scorer.found(batch, groups, self.trie, k, (whom[known], numbers[known]))


def retrieved(
    experiment: Experiment,
    scorer: Scorer,
    part: Part | Source,
    items: Items | Searched,
    k: int,
    exclude: str | None = None,
    filter: Mapping[str, Any] | None = None,
) -> Iterator[pa.Table]:
    """Batch by batch: `data.reserved` columns, `items` and `scores`, the nearest first.

    Args:
        experiment: What was trained.
        scorer: Its weights, averages in place where there are any.
        part: Rows of users.
        items: What can be found.
        k: How many items a user gets.
        exclude: Feature with ids of items that a user does not get.
        filter: Values of attributes, one of which an item must have in each.

    Raises:
        ConfigError: The data lacks a column, or the items an attribute.
        DataError: A row cannot be used.
    """
    sides, blank, asked = Sides(experiment), 0, 0

    def found(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        nonlocal blank, asked
        spared, whom = spared_of(batch, exclude)
        if isinstance(items, Searched):
            return items.search(scorer, batch, sides.user_groups, k, spared, whom)
        vectors = scorer.vectors(batch, "user", sides.user_groups).numpy()  # (B, D), or (B, K, D)
        blank += int((~vectors.any(axis=tuple(range(1, vectors.ndim)))).sum())
        asked += len(vectors)
        most = int(np.bincount(whom, items.sharing(spared)).max()) if len(whom) else 0
        numbers, scores = nearest(items.index, vectors, min(k + most, max(len(items.index), 1)), filter=filter)
        if len(whom):
            numbers, scores = _without(numbers, scores, items.keys, spared, whom)
        return numbers[:, :k], scores[:, :k]

    yield from answered(experiment, part, {*sides.users, *([exclude] if exclude else [])}, items.ids, found)
    if blank:
        logger.warning(
            "%s of %s users have a vector of zeros, as those without a history may: every item is as near to them, so what "
            "they get is arbitrary",
            f"{blank:,}",
            f"{asked:,}",
        )


def answered(
    experiment: Experiment,
    part: Part | Source,
    features: Collection[str],
    ids: pa.Array,
    answer: Callable[[Batch], tuple[np.ndarray, np.ndarray]],
) -> Iterator[pa.Table]:
    """Batch by batch: `data.reserved` columns, `items` and `scores`.

    Args:
        experiment: What was trained.
        part: Rows of users.
        features: What is read of them.
        ids: (N,) the items' ids in the data.
        answer: Gives the numbers of a batch's items, -1 for none, and their scores, both (B, k).
    """
    generator, reserved = experiment.generator.only(features), experiment.data.reserved
    loader = make_loader(experiment, part, generator, training=False, labels=False, reserved=reserved)
    types = (part.source if isinstance(part, Part) else part).columns
    told = [pa.field("items", pa.list_(ids.type)), pa.field("scores", pa.list_(pa.float32()))]
    schema = pa.schema([*(pa.field(n, types[raw_name(n, types, experiment.data.fg)]) for n in reserved), *told])
    empty = True
    for batch in loader:
        columns = [] if batch.reserved is None else [batch.reserved[name] for name in reserved]
        yield pa.table([*columns, *_lists(*answer(batch), ids)], names=schema.names).cast(schema)
        empty = False
    if loader.report.num_bad:
        logger.warning("%s", loader.report.summary())
    if empty:
        yield schema.empty_table()


def spared_of(batch: Batch, exclude: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Ids that users do not get, and whose."""
    if exclude is None:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    jagged = batch.jagged(exclude)
    lengths = np.ones(batch.size, np.int64) if jagged.offsets is None else np.diff(jagged.offsets.numpy())
    return jagged.values.numpy(), np.repeat(np.arange(batch.size), lengths)


def _without(
    numbers: np.ndarray, scores: np.ndarray, keys: np.ndarray, spared: np.ndarray, whom: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What is found less what is spared, in the same order."""
    most = int(max(keys.max(), spared.max())) + 1
    pairs = np.unique(whom * most + spared)
    rows = np.arange(len(numbers))[:, None]
    wanted = rows * most + np.where(numbers >= 0, keys[numbers], 0)
    gone = np.isin(wanted, pairs) | (numbers < 0)
    order = np.argsort(gone, axis=1, kind="stable")
    numbers = np.where(gone, -1, numbers)
    return np.take_along_axis(numbers, order, 1), np.take_along_axis(scores, order, 1)


def _lists(numbers: np.ndarray, scores: np.ndarray, ids: pa.Array) -> tuple[pa.Array, pa.Array]:
    known = numbers >= 0
    offsets = pa.array(np.concatenate([[0], np.cumsum(known.sum(1))]).astype(np.int32))
    found = ids.take(pa.array(numbers[known]))
    return pa.ListArray.from_arrays(offsets, found), pa.ListArray.from_arrays(offsets, pa.array(scores[known]))
