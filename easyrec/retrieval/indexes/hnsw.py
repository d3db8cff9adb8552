"""`hnsw`: a graph of near vectors, walked from far to near."""

from __future__ import annotations

from math import ceil
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from easyrec.retrieval.indexes import IndexConfig
from easyrec.retrieval.indexes._faiss import faiss
from easyrec.retrieval.indexes._index import Index


class Config(IndexConfig):
    """Config of `hnsw`."""

    effort: ClassVar[str | None] = "ef_search"

    type: Literal["hnsw"] = "hnsw"
    neighbors: int = Field(32, gt=1, le=256)
    """Edges of a vector: more find more and take more memory."""
    ef_construction: int = Field(240, gt=0)
    """Candidates that building keeps: more build a better graph, slower."""
    ef_search: int = Field(600, gt=0)
    """Candidates that a search keeps, at least as many as are wanted: more find more, slower."""


class HNSW(Index):
    """Approximate; the time grows with the log of the number of vectors.

    A graph cannot lose a vector: a search walks through those that are passed over.

    Source:
        Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical Navigable Small
        World graphs", IEEE TPAMI 2020.
    """

    def make(self, dim: int) -> Any:
        """The graph over the vectors as they are."""
        index = faiss.IndexHNSWFlat(dim, self.config.neighbors, self.faiss_metric)
        index.hnsw.efConstruction = self.config.ef_construction
        return index

    def parameters(self, chosen: Any, share: float) -> Any:
        """As many candidates that may be found as the config says."""
        found = faiss.SearchParametersHNSW()
        found.efSearch = ceil(self.config.ef_search / share)
        if chosen is not None:
            found.sel = chosen
        return found

    def walks(self, allowed: int) -> bool:
        """Whether the candidates and their neighbours are fewer than what may be found; skipping costs a sixteenth."""
        total = len(self.ids)
        candidates = self.config.ef_search * total / max(allowed, 1)
        return bool(allowed == total or candidates * self.config.neighbors < allowed + total / 16)

    @property
    def bytes_each(self) -> int:
        """Twice as many edges as the config says on the lowest level, and few above it."""
        return super().bytes_each + 4 * (2 * int(self.config.neighbors) + 2)

    def efforts(self, k: int) -> list[int]:
        """From as many candidates as are wanted, below which none counts, to twenty times as many."""
        return sorted({max(round(k * factor), 8) for factor in (1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 7, 10, 14, 20)})

    def comparing_all(self, chosen: Any) -> tuple[Any, Any]:
        """The vectors without the graph."""
        return faiss.downcast_index(self.inside.storage), faiss.SearchParameters(sel=chosen)

    def keep(self, places: np.ndarray) -> None:
        """A new graph."""
        self.inside = self.made_of(self.inside.reconstruct_batch(places))
