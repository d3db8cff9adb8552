"""`ivf`: vectors in lists around centres; the lists of the nearest centres are compared."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from easyrec.retrieval.indexes import IndexConfig
from easyrec.retrieval.indexes._faiss import faiss
from easyrec.retrieval.indexes._index import Index


class Config(IndexConfig):
    """Config of `ivf`."""

    type: Literal["ivf"] = "ivf"
    lists: int = Field(1024, gt=0)
    """Centres, learned from the first vectors that are added: about 40 vectors each, at least."""
    probes: int = Field(16, gt=0)
    """Lists that a search compares: more find more, slower."""


class IVF(Index):
    """Approximate, the vectors as they are.

    Source:
        Johnson et al., "Billion-scale similarity search with GPUs", IEEE Transactions on Big Data 2021, section 2.2.
    """

    def make(self, dim: int) -> Any:
        """Lists around centres that are searched one by one."""
        centres = faiss.IndexFlat(dim, self.faiss_metric)
        index = faiss.IndexIVFFlat(centres, dim, self.config.lists, self.faiss_metric)
        index.set_direct_map_type(faiss.DirectMap.Array)
        return index

    def parameters(self, chosen: Any) -> Any:
        """As many lists as the config says."""
        return faiss.SearchParametersIVF(nprobe=self.config.probes, sel=chosen)
