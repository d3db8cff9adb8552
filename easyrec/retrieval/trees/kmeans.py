"""`kmeans`: each node's items are clustered by their vectors, into parts of equal sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from easyrec.retrieval.tree import TreeShape
from easyrec.retrieval.trees import TreeBuilder, TreeConfig

PART = 1 << 22
"""Numbers of centres that are gathered at once."""
FEW = 64
"""Nodes that are better multiplied one by one."""


class Config(TreeConfig):
    """Config of `kmeans`."""

    type: Literal["kmeans"] = "kmeans"
    iterations: int = Field(20, gt=0)
    """Steps of k-means on each level."""

    @property
    def compares_vectors(self) -> bool:
        """Yes."""
        return True


class KMeans(TreeBuilder):
    """Level by level, all nodes of one at once: ``min sum_i |x_i - m_{c_i}|^2`` where each child takes as many as it has leaves.

    An item takes the nearest centre that has room; of those who want more than there is room, the ones that would lose the
    most by going elsewhere stay. With two children that is the optimum for these centres.

    Source:
        Zhu et al., "Learning Tree-based Deep Model for Recommender Systems", KDD 2018, section 3.4, "Tree Learning".
    """

    def order(self, shape: TreeShape, vectors: np.ndarray | None, columns: Mapping[str, pa.Array]) -> np.ndarray:
        """The items by their clusters."""
        assert vectors is not None
        vectors = vectors / max(float(np.abs(vectors).max(initial=0.0)), 1e-30)  # squares stay in float32's range
        random = np.random.default_rng(self.config.seed)
        order: np.ndarray = random.permutation(shape.leaves)
        above = np.array([0, shape.leaves])
        for level in range(shape.levels - 1):  # in the last one every item is a part
            below = shape.bounds(level)
            order = order[_clustered(vectors[order], above, below, self.config.iterations)]
            above = below
        return order

    def quality(
        self, shape: TreeShape, order: np.ndarray, vectors: np.ndarray | None, columns: Mapping[str, pa.Array]
    ) -> tuple[str, list[float]]:
        """The share of the vectors' variance inside the nodes."""
        assert vectors is not None
        ordered = vectors[order].astype(np.float64)
        ordered -= ordered.mean(axis=0)
        whole = max(float(np.square(ordered).sum()), 1e-30)
        found = []
        for level in range(shape.levels):
            bounds = shape.bounds(level)
            sums = np.add.reduceat(ordered, bounds[:-1], axis=0)
            explained = float((np.square(sums).sum(axis=1) / np.diff(bounds)).sum())
            found.append(max(1.0 - explained / whole, 0.0))
        return "unexplained", found


def _clustered(x: np.ndarray, above: np.ndarray, below: np.ndarray, iterations: int) -> np.ndarray:
    """(N,) int64, an order of the items in which each node's clusters lie side by side.

    Args:
        x: (N, D), the items' vectors, those of a node side by side and in random order.
        above: (nodes + 1,), the items of each node.
        below: (children + 1,), where the clusters are to lie, equally many of each node.
        iterations: Steps.
    """
    node = np.repeat(np.arange(len(above) - 1), np.diff(above))
    width, room = (len(below) - 1) // (len(above) - 1), np.diff(below)
    centres = x[above[:-1, None] + np.arange(width)]  # items of the node, drawn at random
    order = None
    for _ in range(iterations):
        chosen = _assigned(_costs(x, centres, above, node), node, room.reshape(-1, width).copy())
        found = np.argsort(node * width + chosen, kind="stable")
        if order is not None and (found == order).all():
            break
        order = found
        centres = (np.add.reduceat(x[order], below[:-1], axis=0) / room[:, None]).reshape(centres.shape)
    assert order is not None
    return order


def _costs(x: np.ndarray, centres: np.ndarray, above: np.ndarray, node: np.ndarray) -> np.ndarray:
    """(N, b) float32, ``|m|^2 - 2 <x, m>`` of each item and each centre of its node."""
    squares = np.square(centres).sum(axis=2)
    products = np.empty((len(x), centres.shape[1]), np.float32)
    if len(centres) <= FEW:
        for number, centre in enumerate(centres):
            products[above[number] : above[number + 1]] = x[above[number] : above[number + 1]] @ centre.T
    else:
        step = max(PART // centres[0].size, 1)
        for start in range(0, len(x), step):
            part = slice(start, start + step)
            products[part] = (centres[node[part]] @ x[part, :, None])[:, :, 0]
    costs: np.ndarray = squares[node] - 2 * products
    return costs


def _assigned(costs: np.ndarray, node: np.ndarray, room: np.ndarray) -> np.ndarray:
    """(N,) int64, a centre of its node for each item, none with more items than it has room.

    Args:
        costs: (N, b).
        node: (N,), ascending.
        room: (nodes, b), is used up.
    """
    chosen = np.full(len(costs), -1, np.int64)
    left, width = np.arange(len(costs)), room.shape[1]
    while len(left):
        of = node[left]
        open_costs = np.where(room[of] > 0, costs[left], np.inf)
        best = open_costs.argmin(axis=1)
        rows = np.arange(len(left))
        least = open_costs[rows, best]
        open_costs[rows, best] = np.inf
        regret = open_costs.min(axis=1) - least
        wanted = of * width + best
        order = np.lexsort((-regret, wanted))
        ordered = wanted[order]
        turn = np.arange(len(left)) - np.searchsorted(ordered, ordered)
        stays = order[turn < room.reshape(-1)[ordered]]
        chosen[left[stays]] = best[stays]
        room -= np.bincount(wanted[stays], minlength=room.size).reshape(room.shape)
        left = left[chosen[left] < 0]
    return chosen
