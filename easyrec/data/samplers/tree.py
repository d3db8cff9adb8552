"""`tree`: for each node above a position's own item other nodes of its level, for models that search a tree."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Discriminator, Field, Tag

from easyrec.data.samplers import Draw, Sampler, SamplerConfig
from easyrec.data.samplers._distinct import distinct

Count = Annotated[int, Field(gt=0)]
Counts = Annotated[list[Count], Field(min_length=1)]


def _kind(value: object) -> str:
    """Which of both a value is meant to be, so that its faults are told alone."""
    return "listed" if isinstance(value, list) else "one"


class Config(SamplerConfig):
    """Config of `tree`."""

    type: Literal["tree"] = "tree"
    negatives: Annotated[Annotated[Count, Tag("one")] | Annotated[Counts, Tag("listed")], Discriminator(_kind)] = 16
    """Other nodes of each level, all of it where it has no more; a list: by level from that below the root, its last number
    for all further ones."""

    def of_level(self, level: int) -> int:
        """Nodes of a level, from 0."""
        if isinstance(self.negatives, int):
            return self.negatives
        return self.negatives[min(level, len(self.negatives) - 1)]


class Tree(Sampler):
    """Of a level with n nodes, those that do not lie above the own item: each with probability ``k / (n - 1)``, none twice.

    Attributes:
        paths: (N, L) int64, the nodes above each item of the catalogue, numbered in each level; None: not given yet.
        sizes: Nodes of each level.

    Source:
        Zhu et al., "Learning Tree-based Deep Model for Recommender Systems", KDD 2018, section 3.2, eq. (3)-(5). Drawing
        without repetition: Bentley and Floyd, "A Sample of Brilliance", CACM 1987.
    """

    paths: np.ndarray | None = None
    sizes: tuple[int, ...] = ()

    def draw(self, own: np.ndarray, random: np.random.Generator) -> Draw:
        """The batch's own items alone: no items are compared."""
        return Draw(distinct(own), inside=True)

    def nodes(self, own: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """(P, M) int64, level by level the node above each position's item and others; those of former levels count first.

        Args:
            own: (P,) int64, the positions' own items.
            random: Where chance comes from.
        """
        assert self.paths is not None
        paths, found, start = self.paths[own], [], 0
        for level, size in enumerate(self.sizes):
            mine = paths[:, level]
            others = some_of(size - 1, min(self.config.of_level(level), size - 1), len(own), random)
            others += others >= mine[:, None]
            found += [mine[:, None] + start, others + start]
            start += size
        return np.concatenate(found, axis=1)


def some_of(size: int, count: int, rows: int, random: np.random.Generator) -> np.ndarray:
    """(rows, count) int64, in each row different numbers below `size`, every such set as likely."""
    if count == size:
        return np.tile(np.arange(size), (rows, 1))
    found = np.empty((rows, count), np.int64)
    for turn, last in enumerate(range(size - count, size)):
        drawn = random.integers(last + 1, size=rows)
        taken = (found[:, :turn] == drawn[:, None]).any(axis=1)
        found[:, turn] = np.where(taken, last, drawn)
    return found
