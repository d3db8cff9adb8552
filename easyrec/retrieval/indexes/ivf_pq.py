"""`ivf_pq`: as `ivf`, with vectors shortened to a few bytes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from easyrec.errors import ConfigError
from easyrec.retrieval.indexes._faiss import faiss
from easyrec.retrieval.indexes._lists import Lists, ListsConfig

CODES = 256
"""What a byte tells apart."""


class Config(ListsConfig):
    """Config of `ivf_pq`."""

    type: Literal["ivf_pq"] = "ivf_pq"
    bytes: int = Field(16, gt=0)
    """Bytes of a vector; D must be a multiple of it."""


class IVFPQ(Lists):
    """Approximate twice: lists are left out, and vectors are rounded to one of 256 in each of `bytes` parts.

    Source:
        Jegou et al., "Product Quantization for Nearest Neighbor Search", IEEE TPAMI 2011.
    """

    @property
    def least(self) -> int:
        """A vector for each centre, and for each code."""
        return max(super().least, CODES)

    def around(self, centres: Any, dim: int) -> Any:
        """Lists of codes.

        Raises:
            ConfigError: The vectors cannot be cut into so many parts.
        """
        if dim % self.config.bytes:
            raise ConfigError(
                f"'ivf_pq' cuts vectors of {dim} numbers into {self.config.bytes} equal parts: set 'bytes'"
            )
        found = faiss.IndexIVFPQ(centres, dim, self.config.lists, self.config.bytes, 8, self.faiss_metric)
        found.pq.cp.min_points_per_centroid = 1
        return found
