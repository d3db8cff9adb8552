"""`ivf_pq`: as `ivf`, with vectors shortened to a few bytes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from easyrec.errors import ConfigError
from easyrec.retrieval.indexes import IndexConfig
from easyrec.retrieval.indexes._faiss import faiss
from easyrec.retrieval.indexes._index import Index


class Config(IndexConfig):
    """Config of `ivf_pq`."""

    type: Literal["ivf_pq"] = "ivf_pq"
    lists: int = Field(1024, gt=0)
    """Centres, learned from the first vectors that are added: about 40 vectors each, at least."""
    probes: int = Field(16, gt=0)
    """Lists that a search compares: more find more, slower."""
    bytes: int = Field(16, gt=0)
    """Bytes of a vector; D must be a multiple of it."""


class IVFPQ(Index):
    """Approximate twice: lists are left out, and vectors are rounded to one of 256 in each of `bytes` parts.

    Source:
        Jegou et al., "Product Quantization for Nearest Neighbor Search", IEEE TPAMI 2011.
    """

    def make(self, dim: int) -> Any:
        """Lists of codes around centres.

        Raises:
            ConfigError: The vectors cannot be cut into so many parts.
        """
        if dim % self.config.bytes:
            raise ConfigError(
                f"'ivf_pq' cuts vectors of {dim} numbers into {self.config.bytes} equal parts: set 'bytes'"
            )
        centres = faiss.IndexFlat(dim, self.faiss_metric)
        index = faiss.IndexIVFPQ(centres, dim, self.config.lists, self.config.bytes, 8, self.faiss_metric)
        index.set_direct_map_type(faiss.DirectMap.Array)
        return index

    def parameters(self, chosen: Any) -> Any:
        """As many lists as the config says."""
        return faiss.SearchParametersIVF(nprobe=self.config.probes, sel=chosen)
