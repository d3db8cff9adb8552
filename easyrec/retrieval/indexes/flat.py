"""`flat`: every vector is compared."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from easyrec.retrieval.indexes import IndexConfig
from easyrec.retrieval.indexes._faiss import faiss
from easyrec.retrieval.indexes._index import Index


class Config(IndexConfig):
    """Config of `flat`."""

    type: Literal["flat"] = "flat"


class Flat(Index):
    """Exact; the time grows with the number of vectors."""

    def make(self, dim: int) -> Any:
        """The vectors as they are."""
        return faiss.IndexFlat(dim, self.faiss_metric)

    def comparing_all(self, chosen: Any) -> tuple[Any, Any]:
        """Itself."""
        return self.inside, None if chosen is None else faiss.SearchParameters(sel=chosen)

    def keep(self, places: np.ndarray) -> None:
        """Of the other vectors nothing stays."""
        self.inside = self.made_of(self.inside.reconstruct_batch(places))
