"""Trees over the items of a catalogue: like items lie near each other among the leaves.

The contract of the family: `easyrec/retrieval/trees/<type>.py` holds the builder's `Config` over `TreeConfig`, and one class
over `TreeBuilder`. Same config and items, same tree. Importing this loads no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from easyrec.config.family import implementation
from easyrec.retrieval.tree import TreeShape
from feature_generator.config import StrictModel

__all__ = ["TreeBuilder", "TreeConfig", "build"]


class TreeConfig(StrictModel):
    """What the config of every builder has; a builder's own `Config` derives from it."""

    family: ClassVar[str | None] = "easyrec.retrieval.trees"

    type: str
    branching: int = Field(2, gt=1, le=256)
    """The most children of a node."""
    seed: int = Field(0, ge=0)
    """Where chance starts."""

    @property
    def columns(self) -> list[str]:
        """Columns of the items that it reads."""
        return []

    @property
    def compares_vectors(self) -> bool:
        """Whether it reads the items' vectors."""
        return False


class TreeBuilder:
    """Puts items in order; a builder defines `order`.

    Args:
        config: The builder's config.
    """

    def __init__(self, config: Any) -> None:
        self.config = config

    def order(self, shape: TreeShape, vectors: np.ndarray | None, columns: Mapping[str, pa.Array]) -> np.ndarray:
        """(N,) int64, which item each leaf holds.

        Args:
            shape: Of the tree.
            vectors: (N, D) float32, of builders that compare them.
            columns: (N,) each of those that the config names.
        """
        raise TypeError(f"{type(self).__name__} must define order")

    def quality(
        self, shape: TreeShape, order: np.ndarray, vectors: np.ndarray | None, columns: Mapping[str, pa.Array]
    ) -> tuple[str, list[float]]:
        """What a good tree has little or much of, and how much of it each level has.

        Args:
            shape: Of the tree.
            order: What `order` gave.
            vectors: As there.
            columns: As there.
        """
        raise TypeError(f"{type(self).__name__} must define quality")


def build(config: TreeConfig) -> TreeBuilder:
    """A builder."""
    return implementation("easyrec.retrieval.trees", config.type, TreeBuilder)(config)
