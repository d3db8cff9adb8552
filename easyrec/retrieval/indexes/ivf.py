"""`ivf`: vectors in lists around centres; the lists of the nearest centres are compared."""

from __future__ import annotations

from typing import Any, Literal

from easyrec.retrieval.indexes._faiss import faiss
from easyrec.retrieval.indexes._lists import Lists, ListsConfig


class Config(ListsConfig):
    """Config of `ivf`."""

    type: Literal["ivf"] = "ivf"


class IVF(Lists):
    """Approximate, the vectors as they are.

    Source:
        Johnson et al., "Billion-scale similarity search with GPUs", IEEE Transactions on Big Data 2021, section 2.2.
    """

    def around(self, centres: Any, dim: int) -> Any:
        """Lists of vectors."""
        return faiss.IndexIVFFlat(centres, dim, self.config.lists, self.faiss_metric)
