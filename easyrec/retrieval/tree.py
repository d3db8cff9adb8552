"""The shape of a balanced tree of items: how many nodes each level has, and which of them lie above an item."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class TreeShape:
    """A tree of N leaves in order, each level of which divides them as evenly as can be.

    Node j of level l holds the leaves ``floor(j N / b^l) .. floor((j + 1) N / b^l)``: b^l nodes while these are fewer than
    leaves, then the leaves themselves. All leaves lie on the last level.

    Args:
        leaves: N.
        branching: b, the most children of a node.
    """

    leaves: int
    branching: int

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Nodes of each level, from that below the root to the leaves."""
        found, width = [], self.branching
        while width < self.leaves:
            found.append(width)
            width *= self.branching
        return (*found, self.leaves)

    @property
    def levels(self) -> int:
        """L."""
        return len(self.sizes)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The number of each level's first node where all nodes are counted, and behind them how many there are."""
        return (0, *np.cumsum(self.sizes).tolist())

    def bounds(self, level: int) -> np.ndarray:
        """(nodes + 1,) int64, the leaves of node j of a level, counted from 0, are ``bounds[j] .. bounds[j + 1]``."""
        size = self.sizes[level]
        return np.arange(size + 1, dtype=np.int64) * self.leaves // size

    def paths(self, leaves: np.ndarray) -> np.ndarray:
        """(n, L) int64, the nodes above some leaves, numbered in each level, and behind them the leaves."""
        return np.stack(
            [np.searchsorted(self.bounds(level), leaves, side="right") - 1 for level in range(self.levels)], axis=1
        )
