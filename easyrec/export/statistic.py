"""An item-to-item statistic as a folder that holds together.

matrix.safetensors   values, and of a sparse matrix items and offsets; bias; of users known by id ids, items, offsets
items.parquet        the items by number: the id column, and `key`
neighbours.parquet   of a bundle: item, neighbour, score, the nearest first; for recall without any of this code
manifest.json, manifest.sha256
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load_file, save_file

from easyrec.batch import Batch
from easyrec.config import Experiment
from easyrec.config.statistic import StatisticConfig
from easyrec.data.catalogue import find, numbers_of
from easyrec.errors import BundleError, CheckpointError
from easyrec.export.assembly import versions
from easyrec.export.bundle import open_sealed, write_bundle
from easyrec.export.manifest import StatisticManifest
from easyrec.statistics._statistic import Histories, Known, Links, Scores, Taken
from feature_generator.saved import fingerprint

MATRIX, ITEMS, NEIGHBOURS = "matrix.safetensors", "items.parquet", "neighbours.parquet"
LISTED = 100
"""Neighbours that `neighbours.parquet` lists of each item."""


@dataclass(frozen=True)
class Counted:
    """A statistic that was counted, and what tells its items and users apart.

    Attributes:
        links, bias: S and b.
        recency: What a step's weight is multiplied by for each newer one.
        repeats: Whether a user can be given what the history holds.
        column: The column of the items' ids.
        ids: (N,) these.
        keys: (N,) int64, their ids of the key feature.
        known: Users by id; None: they come with their histories.
        threads: Threads that score.
    """

    links: Links
    bias: np.ndarray
    recency: float
    repeats: bool
    column: str
    ids: pa.Array
    keys: np.ndarray
    known: Known | None = None
    threads: int = 1

    @cached_property
    def scores(self) -> Scores:
        """What the items score."""
        return Scores(self.links, self.bias, repeats=self.repeats, threads=self.threads)

    @cached_property
    def numbers(self) -> np.ndarray:
        """The items by their ids of the key feature."""
        return numbers_of(self.keys)

    def find(self, keys: np.ndarray) -> np.ndarray:
        """(n,) int64, the items with these ids of the key feature, -1 where there is none."""
        return find(self.numbers, keys)

    def histories(self, batch: Batch, feature: str) -> Histories:
        """What users are known by.

        Args:
            batch: Rows of users.
            feature: Their items, oldest first; of users known by id, the id.
        """
        jagged = batch.jagged(feature)
        values = jagged.values.numpy()
        offsets = np.arange(batch.size + 1) if jagged.offsets is None else jagged.offsets.numpy()
        if self.known is None:
            return Histories.of(self.find(values), offsets, self.recency)
        whole = np.full(batch.size, -1, np.int64)  # a row without an id, or with several, is of no known user
        one = np.diff(offsets) == 1
        whole[one] = values[offsets[:-1][one]]
        return Histories.of(*self.known.find(whole), self.recency)


def write_counted(
    experiment: Experiment,
    counted: Counted,
    directory: str | os.PathLike[str],
    *,
    listed: bool = False,
    metrics: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a statistic, all of it or nothing.

    Args:
        experiment: What was counted.
        counted: The statistic.
        directory: Where it goes.
        listed: Whether `neighbours.parquet` is there too.
        metrics: Of the run.
        overwrite: Replace what is there.

    Raises:
        RunError: The directory exists, or the disk refuses.
    """
    links, known = counted.links, counted.known
    arrays = {"values": links.values, "bias": counted.bias}
    if links.items is not None and links.offsets is not None:
        arrays |= {"items": links.items, "offsets": links.offsets}
    if known is not None:
        taken = known.taken
        arrays |= {"users.ids": known.ids, "users.items": taken.items, "users.offsets": taken.offsets}
    with write_bundle(directory, overwrite=overwrite) as draft:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, draft.path / MATRIX)
        pq.write_table(pa.table({counted.column: counted.ids, "key": counted.keys}), draft.path / ITEMS)
        if listed:
            pq.write_table(neighbours(counted), draft.path / NEIGHBOURS)
        draft.manifest = StatisticManifest(
            name=experiment.name,
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            config=experiment.resolved(),
            plugins=experiment.plugins(),
            fingerprint=experiment.generator.fingerprint,
            item_id=counted.column,
            items=len(counted.keys),
            links=int(links.values.size),
            recency=counted.recency,
            repeats=counted.repeats,
            metrics=dict(metrics or {}),
            versions=versions(),
        )
    return Path(directory)


def read_counted(directory: str | os.PathLike[str], experiment: Experiment, threads: int = 1) -> Counted:
    """What `write_counted` wrote.

    Args:
        directory: The folder.
        experiment: What was counted; `recency` and `repeats` are as it says now.
        threads: Threads that score.

    Raises:
        BundleError: It is no such folder, or damaged.
        CheckpointError: It is of other features, or users are known otherwise.
    """
    path = Path(directory)
    manifest = open_sealed(path, StatisticManifest)
    # Encoded columns hold what raw ones become: a statistic of either answers both.
    if manifest.fingerprint not in {fingerprint(experiment.generator, mode) for mode in ("raw", "encoded")}:
        raise CheckpointError(f"{path}: is of other features, or of other vocabularies of them")
    try:
        arrays, items = load_file(path / MATRIX), pq.read_table(path / ITEMS)
        links = Links(arrays["values"], arrays.get("items"), arrays.get("offsets"))
        known = None
        if "users.ids" in arrays:
            taken = Taken(arrays["users.items"], arrays["users.offsets"], manifest.items)
            known = Known(arrays["users.ids"], taken)
        ids, keys = items.column(manifest.item_id).combine_chunks(), items.column("key").to_numpy()
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise BundleError(f"{path}: cannot be read: {error}") from error
    model = experiment.model
    if (known is None) != (model.learned_steps() is not None):
        raise CheckpointError(f"{path}: knows users by {'sequences' if known is None else 'ids'}, the config otherwise")
    assert isinstance(model, StatisticConfig)
    about = (model.recency, model.repeats, manifest.item_id)
    return Counted(links, arrays["bias"], *about, ids, keys, known=known, threads=threads)


def neighbours(counted: Counted, keep: int = LISTED) -> pa.Table:
    """The nearest items of each: `item`, `neighbour` and `score`, by item and the nearest first."""
    links = counted.links.nearest(keep)
    assert links.items is not None
    assert links.offsets is not None
    rows = np.repeat(np.arange(len(counted.keys)), np.diff(links.offsets))
    columns = {"item": counted.ids.take(pa.array(rows)), "neighbour": counted.ids.take(pa.array(links.items))}
    return pa.table({**columns, "score": links.values})
