"""A catalogue's vectors on disk, and the index over them, as `easyrec embed` writes them.

parts/00003-00000.parquet   some items of unit 3: the id column, `key`, attributes, and `vector`
index/                      the index over all of them, by number; see `easyrec.retrieval.indexes`
items.json                  which model and which items; `items`, how many, once all is there
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from easyrec.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from easyrec.retrieval.indexes import Index

ITEMS = "items.json"
FORMAT = 2


def parts_of(folder: Path) -> list[Path]:
    """The parts of a folder that hold items, in order."""
    paths = sorted((folder / "parts").glob("[0-9]*.parquet"))
    return [path for path in paths if pq.read_metadata(path).num_columns]


def vectors_of(table: pa.Table) -> np.ndarray:
    """(n, D) float32, the vectors of a part."""
    column = table.column("vector").combine_chunks()
    values: np.ndarray = column.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(column), -1)


class Items:
    """Items with vectors and an index.

    Args:
        folder: Where they are.
        model: Digest of the model that asks for them, see `easyrec.export.identity`; None: whichever.

    Attributes:
        ids: (N,) their ids in the data.
        keys: (N,) int64, their ids of the key feature.
        model: Digest of the model that made their vectors.
        name: The experiment's name.
        id: What the ids are called.
        attributes: Columns that searches may filter by.

    Raises:
        RunError: They are not there, or not all, or another model made them.
    """

    def __init__(self, folder: Path, model: str | None) -> None:
        try:
            about = json.loads((folder / ITEMS).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{folder}: holds no vectors of items; make them by `easyrec embed`") from error
        if about.get("format", FORMAT) != FORMAT:
            raise RunError(
                f"{folder}: another version of the library wrote its vectors; make them anew by `easyrec embed`"
            )
        if "items" not in about:
            raise RunError(f"{folder}: not all items are there; the same `easyrec embed` goes on")
        if model is not None and about["model"] != model:
            raise RunError(
                f"{folder}: another model or checkpoint made its vectors ({about['model'][:12]}, not {model[:12]}), which "
                "those of users cannot be compared with: make them anew by `easyrec embed`, or say that they may be"
            )
        tables = [pq.read_table(path, columns=[about["id"], "key"]) for path in parts_of(folder)]
        whole = pa.concat_tables(tables)
        if whole.num_rows != about["items"]:
            raise RunError(f"{folder}: there should be {about['items']} items, but there are {whole.num_rows}")
        self.folder, self.model, self.name = folder, about["model"], about["name"]
        self.id: str = about["id"]
        self.attributes: list[str] = about["attributes"]
        self.ids: pa.Array = whole.column(about["id"]).combine_chunks()
        self.keys: np.ndarray = whole.column("key").to_numpy()

    @cached_property
    def index(self) -> Index:
        """The index over their vectors, by number.

        Raises:
            RunError: It is damaged.
        """
        from easyrec.retrieval.indexes import Index  # noqa: PLC0415 (FAISS stays out until it is asked for)

        found = Index.load(self.folder / "index")
        if len(found) != len(self.ids):
            raise RunError(f"{self.folder}: the index is of {len(found)} items, but there are {len(self.ids)}")
        return found

    @cached_property
    def _by_id(self) -> dict[Any, int]:
        return {name: number for number, name in enumerate(self.ids.to_pylist())}

    def numbers(self, ids: Iterable[Any]) -> np.ndarray:
        """(n,) int64, the numbers of the items with these ids, without those that are not there."""
        return np.array([self._by_id[name] for name in ids if name in self._by_id], np.int64)

    @cached_property
    def _with_key(self) -> np.ndarray:
        return np.bincount(self.keys)

    def sharing(self, keys: np.ndarray) -> np.ndarray:
        """(n,) int64, how many items have each of these ids of the key feature: several, where these are hashed."""
        known = (keys >= 0) & (keys < len(self._with_key))
        return np.where(known, self._with_key[np.where(known, keys, 0)], 0)

    def vectors(self) -> np.ndarray:
        """(N, D) float32, of all items."""
        return np.concatenate([vectors_of(pq.read_table(path, columns=["vector"])) for path in parts_of(self.folder)])


def nearest(index: Index, vectors: np.ndarray, k: int, **chosen: Any) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of each user; where one has several vectors, each item counts by the nearest of these.

    Args:
        index: What is searched.
        vectors: (B, D), or (B, K, D).
        k: How many are wanted.
        chosen: What may be found, as `Index.search` takes it.
    """
    if vectors.ndim == 2:
        return index.search(vectors, k, **chosen)
    users, several, dim = vectors.shape
    numbers, scores = index.search(vectors.reshape(-1, dim), k, **chosen)
    numbers, scores = numbers.reshape(users, several * k), scores.reshape(users, several * k)
    order = np.argsort(-scores, axis=1, kind="stable")
    numbers, scores = np.take_along_axis(numbers, order, 1), np.take_along_axis(scores, order, 1)
    by_number = np.argsort(numbers, axis=1, kind="stable")
    ordered = np.take_along_axis(numbers, by_number, 1)
    again = np.zeros(numbers.shape, bool)
    np.put_along_axis(again, by_number[:, 1:], ordered[:, 1:] == ordered[:, :-1], 1)
    gone = again | (numbers < 0)
    kept = np.argsort(gone, axis=1, kind="stable")[:, :k]
    numbers, scores = np.where(gone, -1, numbers), np.where(gone, -np.inf, scores)
    return np.take_along_axis(numbers, kept, 1), np.take_along_axis(scores, kept, 1)
