"""`ivf_sq`: as `ivf`, with each number of a vector rounded to a byte."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from easyrec.retrieval.indexes._faiss import faiss
from easyrec.retrieval.indexes._lists import EACH, Lists, ListsConfig


class Config(ListsConfig):
    """Config of `ivf_sq`."""

    type: Literal["ivf_sq"] = "ivf_sq"
    bits: Literal[4, 8, 16] = Field(8)
    """Bits of a number: 8 find nearly all that whole numbers find, in a quarter of the memory."""


class IVFSQ(Lists):
    """Approximate in what lists it looks at; the rounding of what is left of a vector beside its centre hardly matters.

    Source:
        Johnson et al., "Billion-scale similarity search with GPUs", IEEE Transactions on Big Data 2021, section 2.2.
    """

    def around(self, centres: Any, dim: int) -> Any:
        """Lists of rounded differences from centres."""
        kinds = {
            4: faiss.ScalarQuantizer.QT_4bit,
            8: faiss.ScalarQuantizer.QT_8bit,
            16: faiss.ScalarQuantizer.QT_fp16,
        }
        made = faiss.IndexIVFScalarQuantizer(
            centres, dim, self.config.lists, kinds[self.config.bits], self.faiss_metric
        )
        made.cp.max_points_per_centroid = EACH  # more make training slower, and hardly better
        return made
