"""The graph of users and what they took, and embeddings spread over it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import Self

from easyrec.errors import CheckpointError

ITEMS, OFFSETS = "graph/items", "graph/offsets"
"""Of a checkpoint: the items of each user, and whose they are."""


@dataclass(frozen=True)
class Side:
    """The neighbours of n nodes, all on the other side.

    Attributes:
        neighbours: (E,) int32, those of one node after those of another.
        offsets: (n+1,) int32, whose they are.
    """

    neighbours: Tensor
    offsets: Tensor

    @classmethod
    def of(cls, neighbours: np.ndarray, counts: np.ndarray) -> Self:
        """Of the neighbours in the order of their nodes, and how many each node has."""
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        return cls(torch.from_numpy(neighbours.astype(np.int32)), torch.from_numpy(offsets))

    @property
    def scales(self) -> Tensor:
        """(n, 1), ``1 / sqrt(d)``, 0 of a node without neighbours."""
        degrees = self.offsets.diff().unsqueeze(1)
        return torch.where(degrees > 0, degrees.clamp_min(1).rsqrt(), 0.0)

    def sums(self, vectors: Tensor) -> Tensor:
        """(n, D), the sum of each node's neighbours; each is summed by one thread, in the order of the neighbours."""
        return F.embedding_bag(self.neighbours, vectors, self.offsets, mode="sum", include_last_offset=True)


class Graph:
    """U users and I items; a user and an item are neighbours where the one took the other, however often.

    Args:
        pairs: (E,) int64 of users times I plus items, ascending, none twice.
        num_users: U.
        num_items: I.
    """

    def __init__(self, pairs: np.ndarray, num_users: int, num_items: int) -> None:
        users, items = np.divmod(pairs, num_items)
        self.users = Side.of(items, np.bincount(users, minlength=num_users))
        order = np.argsort(items, kind="stable")
        self.items = Side.of(users[order], np.bincount(items, minlength=num_items))
        self._scales = self.users.scales, self.items.scales

    @classmethod
    def of(cls, users: np.ndarray, items: np.ndarray, num_users: int, num_items: int) -> Self:
        """Of (n,) users and the items that they took, in any order."""
        return cls(np.unique(users.astype(np.int64) * num_items + items), num_users, num_items)

    @property
    def num_edges(self) -> int:
        """E."""
        return len(self.users.neighbours)

    def __str__(self) -> str:
        users, items = (int((side.offsets.diff() > 0).sum()) for side in (self.users, self.items))
        return f"{self.num_edges:,} edges between {users:,} users and {items:,} items"

    @torch.no_grad()
    def spread(self, users: Tensor, items: Tensor, layers: int) -> tuple[Tensor, Tensor]:
        """``(E + N E + .. + N^K E) / (K + 1)`` with ``N = D^-1/2 A D^-1/2``, the rows of users and those of items.

        N is symmetric, so that the gradient of E is this map of the gradient of what it gives.

        Args:
            users: (U, D).
            items: (I, D).
            layers: K.

        Source:
            He et al., "LightGCN", SIGIR 2020, eq. (3)-(8).
        """
        of_users, of_items = self._scales
        all_users, all_items = users.clone(), items.clone()
        for _ in range(layers):
            users, items = (
                of_users * self.users.sums(of_items * items),
                of_items * self.items.sums(of_users * users),
            )
            all_users += users
            all_items += items
        return all_users.div_(layers + 1), all_items.div_(layers + 1)

    def arrays(self) -> dict[str, np.ndarray]:
        """What a checkpoint needs, as views."""
        return {ITEMS: self.users.neighbours.numpy(), OFFSETS: self.users.offsets.numpy()}

    @classmethod
    def load(cls, arrays: Mapping[str, np.ndarray], num_users: int, num_items: int) -> Self:
        """The graph that gave `arrays`.

        Raises:
            CheckpointError: There is none, or one of other users or items.
        """
        if not {ITEMS, OFFSETS} <= arrays.keys():
            raise CheckpointError("the checkpoint is of another model: it holds no graph of users and items")
        items, offsets = arrays[ITEMS].astype(np.int64), arrays[OFFSETS]
        if len(offsets) != num_users + 1 or items.max(initial=-1) >= num_items:
            raise CheckpointError("the checkpoint is of another model: its graph is of other users or items")
        users = np.repeat(np.arange(num_users), np.diff(offsets))
        return cls(users * num_items + items, num_users, num_items)
