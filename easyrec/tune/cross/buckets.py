"""Numbers in buckets that tell the label apart, and how a config says them."""

from __future__ import annotations

from typing import Any

import numpy as np

from easyrec.config.cross import BoundariesConfig
from easyrec.tune.cross.codes import Array, Codes
from feature_generator.fitting.tree_boundaries import tree_boundaries

FEW = 32
"""Different numbers up to which each is a word of its own in a cross."""


def edges_of(numbers: Array, labels: Array, config: BoundariesConfig) -> list[float]:
    """Ascending boundaries by a tree over the label, in float32, in which buckets are compared; empty where none tell."""
    known = np.isfinite(numbers)
    values, places = np.unique(numbers[known].astype(np.float32), return_inverse=True)
    if len(values) < 2:
        return []
    own = labels[known]
    sums = np.stack([np.bincount(places, own), np.bincount(places, own * own)], axis=1)
    least = max(config.min_rows, int(len(own) * config.min_share))
    edges = tree_boundaries(values, np.bincount(places), sums, config.buckets, least, binary=True)
    return [float(edge) for edge in np.unique(edges)]


def coded(numbers: Array, edges: list[float]) -> Codes:
    """The buckets of numbers, as codes from 1; NaN has none."""
    bounds = np.array(edges, np.float32)
    codes = np.searchsorted(bounds, numbers.astype(np.float32), side="right").astype(np.int32) + 1
    return Codes(np.where(np.isfinite(numbers), codes, 0).astype(np.int32), len(edges) + 2)


def words_of(numbers: Array) -> Codes | None:
    """Numbers of which there are few as codes of their own; None where there are many."""
    different = np.unique(numbers[np.isfinite(numbers)])
    if len(different) > FEW:
        return None
    codes = np.where(np.isfinite(numbers), np.searchsorted(different, numbers) + 1, 0)
    return Codes(codes.astype(np.int32), len(different) + 1)


def bucket_number(name: str, source: str, edges: list[float]) -> dict[str, Any]:
    """A feature whose number is the bucket's, for others to read: crosses are made of words, and so of columns."""
    column = source.partition(":")[2]
    variable = column if column.isidentifier() else f"`{column}`"
    formula = str(len(edges))
    for index in range(len(edges) - 1, -1, -1):
        formula = f"{variable} < {edges[index]!r} ? {index} : {formula}"
    return {
        "type": "expr",
        "name": name,
        "expression": formula,
        "variables": [source],
        "default_value": "",
        "stub_type": True,
    }
