"""Indexes: the nearest of many vectors.

The contract of the family: `easyrec/retrieval/indexes/<type>.py` holds the index's `Config` over `IndexConfig`, and one
class over `Index`, which says what FAISS builds and how it is asked. Importing this loads neither torch nor FAISS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from easyrec.config.family import implementation
from feature_generator.config import StrictModel

if TYPE_CHECKING:
    from easyrec.retrieval.indexes._index import Index

__all__ = ["Index", "IndexConfig", "build"]


class IndexConfig(StrictModel):
    """What the config of every index has; an index's own `Config` derives from it.

    Attributes:
        effort: The key that trades time for recall when the index is searched; None where it is exact.
    """

    family: ClassVar[str | None] = "easyrec.retrieval.indexes"
    effort: ClassVar[str | None] = None

    type: str
    metric: Literal["inner", "cosine", "l2"] = "inner"
    """What is near: a large inner product, a large cosine, or a small Euclidean distance."""
    rebuild_at: float = Field(0.5, gt=0.0, le=1.0)
    """Share of vectors that were deleted or replaced beyond which a change frees their places; 1: none does."""


def build(config: IndexConfig, dim: int) -> Index:
    """An index without vectors.

    Args:
        config: Its config.
        dim: D of the vectors.
    """
    from easyrec.retrieval.indexes._index import Index as Base  # noqa: PLC0415 (FAISS stays out until one is built)

    return implementation("easyrec.retrieval.indexes", config.type, Base)(config, dim)


def __getattr__(name: str) -> Any:
    if name == "Index":
        from easyrec.retrieval.indexes._index import Index  # noqa: PLC0415 (FAISS stays out until it is asked for)

        return Index
    raise AttributeError(f"module 'easyrec.retrieval.indexes' has no attribute '{name}'")
