"""The items that can be written code by code: a tree of the codes' beginnings."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor


class Trie:
    """Beginnings of the codes of N items, level by level; the nodes of the last level are the items.

    Args:
        codes: (N, L) the codes of each item, at least 0; all rows differ.
        numbers: (N,) what the items are called; default: 0 to N - 1.

    Attributes:
        levels: L.
        starts: Per level from 0 to L - 1, (nodes + 1,): node j of the level has the children `starts[j] .. starts[j + 1]`
            on the next one. Level 0 has one node, the root.
        codes: Per level from 1 to L, (nodes,): the last code of each node. Those of a node's children ascend.
        items: (N,), the item of each node of the last level.
        leaves: Per level from 0 to L, (nodes + 1,): below node j are the nodes `leaves[j] .. leaves[j + 1]` of the last level.

    Raises:
        ValueError: Two items have the same codes, or there is none.
    """

    def __init__(self, codes: np.ndarray, numbers: np.ndarray | None = None) -> None:
        numbers = np.arange(len(codes)) if numbers is None else numbers
        self.levels = codes.shape[1]
        order = np.lexsort(codes.T[::-1])
        ordered = codes[order]
        begins = np.ones((len(codes), self.levels + 1), bool)  # whether a beginning of so many codes is a new one
        begins[1:, 0] = False
        begins[1:, 1:] = np.logical_or.accumulate(ordered[1:] != ordered[:-1], axis=1)
        if not begins[:, -1].all():
            second = int(np.flatnonzero(~begins[:, -1])[0])
            both = f"{numbers[order[second - 1]]} and {numbers[order[second]]}"
            raise ValueError(f"items {both} have the same codes: {ordered[second].tolist()}")
        if not len(codes):
            raise ValueError("there are no items")
        firsts = [np.flatnonzero(begins[:, level]) for level in range(self.levels + 1)]
        nodes = [np.cumsum(begins[:, level]) - 1 for level in range(self.levels + 1)]
        self.starts = [
            torch.from_numpy(np.append(nodes[level + 1][firsts[level]], len(firsts[level + 1])))
            for level in range(self.levels)
        ]
        self.codes = [
            torch.from_numpy(ordered[firsts[level], level - 1].astype(np.int64)) for level in range(1, self.levels + 1)
        ]
        self.items: Tensor = torch.from_numpy(numbers[order].astype(np.int64))
        self.leaves = [torch.from_numpy(np.append(first, len(codes))) for first in firsts]
        self._sorted, self._places = torch.sort(self.items)

    def on(self, device: torch.device) -> Trie:
        """The same on a device."""
        moved = copy.copy(self)
        moved.starts, moved.codes = [t.to(device) for t in self.starts], [t.to(device) for t in self.codes]
        moved.items, moved.leaves = self.items.to(device), [t.to(device) for t in self.leaves]
        moved._sorted, moved._places = self._sorted.to(device), self._places.to(device)
        return moved

    def places(self, items: Tensor) -> Tensor:
        """(n,), which node of the last level each item is; -1 for others."""
        found = torch.searchsorted(self._sorted, items).clamp_max(len(self._sorted) - 1)
        return torch.where(self._sorted[found] == items, self._places[found], -1)
