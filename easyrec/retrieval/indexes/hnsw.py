"""`hnsw`: a graph of near vectors, walked from far to near."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from easyrec.retrieval.indexes import IndexConfig
from easyrec.retrieval.indexes._faiss import faiss
from easyrec.retrieval.indexes._index import Index


class Config(IndexConfig):
    """Config of `hnsw`."""

    type: Literal["hnsw"] = "hnsw"
    neighbors: int = Field(32, gt=1, le=256)
    """Edges of a vector: more find more and take more memory."""
    ef_construction: int = Field(120, gt=0)
    """Candidates that building keeps: more build a better graph, slower."""
    ef_search: int = Field(128, gt=0)
    """Candidates that a search keeps: more find more, slower."""


class HNSW(Index):
    """Approximate; the time grows with the log of the number of vectors.

    Source:
        Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical Navigable Small
        World graphs", IEEE TPAMI 2020.
    """

    def make(self, dim: int) -> Any:
        """The graph over the vectors as they are."""
        index = faiss.IndexHNSWFlat(dim, self.config.neighbors, self.faiss_metric)
        index.hnsw.efConstruction = self.config.ef_construction
        return index

    def parameters(self, chosen: Any) -> Any:
        """As many candidates as the config says."""
        found = faiss.SearchParametersHNSW()
        found.efSearch = self.config.ef_search
        if chosen is not None:
            found.sel = chosen
        return found
