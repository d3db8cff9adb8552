"""`categories`: items of one category lie side by side, those of its parts closer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from easyrec.retrieval.tree import TreeShape
from easyrec.retrieval.trees import TreeBuilder, TreeConfig


class Config(TreeConfig):
    """Config of `categories`."""

    type: Literal["categories"] = "categories"
    by: list[str] = Field(min_length=1)
    """Columns of categories, the widest first."""

    @property
    def columns(self) -> list[str]:
        """The categories."""
        return self.by


class Categories(TreeBuilder):
    """Categories in random order, in each its parts in random order, in these the items in random order.

    Source:
        Zhu et al., "Learning Tree-based Deep Model for Recommender Systems", KDD 2018, section 3.4, "Tree Initialization".
    """

    def order(self, shape: TreeShape, vectors: np.ndarray | None, columns: Mapping[str, pa.Array]) -> np.ndarray:
        """The items by their categories."""
        random = np.random.default_rng(self.config.seed)
        keys = [_shuffled(columns[name], random) for name in self.config.by]
        found: np.ndarray = np.lexsort([random.permutation(shape.leaves), *reversed(keys)])
        return found

    def quality(
        self, shape: TreeShape, order: np.ndarray, vectors: np.ndarray | None, columns: Mapping[str, pa.Array]
    ) -> tuple[str, list[float]]:
        """The share of items that are of the category, in all columns, which most items of their node have."""
        kinds = np.stack([_codes(columns[name]) for name in self.config.by])
        _, kind = np.unique(kinds, axis=1, return_inverse=True)
        kind = kind.reshape(-1)[order]
        found = []
        for level in range(shape.levels):
            node = np.repeat(np.arange(shape.sizes[level]), np.diff(shape.bounds(level)))
            pairs, counts = np.unique(node * (int(kind.max()) + 1) + kind, return_counts=True)
            firsts = np.flatnonzero(np.diff(pairs // (int(kind.max()) + 1), prepend=-1))
            found.append(float(np.maximum.reduceat(counts, firsts).sum()) / shape.leaves)
        return "of one category", found


def _codes(column: pa.Array) -> np.ndarray:
    """(N,) int64, equal where the values are; null is a value."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    encoded = column.dictionary_encode("encode")
    codes: np.ndarray = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes


def _shuffled(column: pa.Array, random: np.random.Generator) -> np.ndarray:
    codes = _codes(column)
    shuffled: np.ndarray = random.permutation(int(codes.max()) + 1)[codes]
    return shuffled
