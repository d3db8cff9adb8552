"""A catalogue's vectors on disk, and the index over them, as `easyrec embed` writes them.

parts/00003-00000.parquet   some items of unit 3: the id column, `key`, attributes, and `vector`
index/                      the index over all of them, by number; see `easyrec.retrieval.indexes`
items.json                  which model and which items; `items`, how many, once all is there
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from easyrec.errors import RunError
from easyrec.retrieval.indexes import Index

ITEMS = "items.json"


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

    Raises:
        RunError: They are not there, or not all, or another model made them.
    """

    def __init__(self, folder: Path, model: str | None) -> None:
        try:
            about = json.loads((folder / ITEMS).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{folder}: holds no vectors of items; make them by `easyrec embed`") from error
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
        self.folder, self.model, self._about = folder, about["model"], about
        self.ids: pa.Array = whole.column(about["id"]).combine_chunks()
        self.keys: np.ndarray = whole.column("key").to_numpy()

    @cached_property
    def index(self) -> Index:
        """The index over their vectors, by number.

        Raises:
            RunError: It is damaged.
        """
        found = Index.load(self.folder / "index")
        if len(found) != len(self.ids):
            raise RunError(f"{self.folder}: the index is of {len(found)} items, but there are {len(self.ids)}")
        return found

    @cached_property
    def _by_id(self) -> Any:
        return pd.Index(self.ids.to_pandas())

    def numbers(self, ids: Any) -> np.ndarray:
        """(n,) int64, the numbers of the items with these ids, without those that are not there."""
        found: np.ndarray = self._by_id.get_indexer(pd.Index(ids))
        return found[found >= 0].astype(np.int64)

    def vectors(self) -> np.ndarray:
        """(N, D) float32, of all items."""
        return np.concatenate([vectors_of(pq.read_table(path, columns=["vector"])) for path in parts_of(self.folder)])
