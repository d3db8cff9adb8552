"""`flat`: every vector is compared."""

from __future__ import annotations

from typing import Any, Literal

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

    def parameters(self, chosen: Any) -> Any:
        """The selector alone."""
        return None if chosen is None else faiss.SearchParameters(sel=chosen)
