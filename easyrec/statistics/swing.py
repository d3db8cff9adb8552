"""`swing`: items are near that pairs of users took both, more so of users who share little else."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from easyrec.config.statistic import StatisticConfig
from easyrec.statistics import _kernels
from easyrec.statistics._statistic import Links, Statistic, Taken


class Config(StatisticConfig):
    """Config of `swing`."""

    type: Literal["swing"] = "swing"
    neighbours: int = Field(100, gt=0)
    """Items that each item keeps, the nearest ones."""
    alpha: float = Field(1.0, ge=0.0)
    """Smoothing: the larger, the less it matters how much else two users share."""
    beta: float = Field(0.5, ge=0.0)
    """A user who took n items weighs n^-beta."""
    normalized: bool = False
    """Scale what follows from an item to a sum of 1: else popular items, of many pairs, say the most."""
    max_users: int = Field(700, gt=1)
    """Users of an item whose pairs are looked at; of more a sample, by `train.seed`."""


class Swing(Statistic):
    """``S_ij = sum_{u < v took i and j} w_u w_v / (alpha + |I_u and I_v|)``, ``w_u = |I_u|^-beta``, S_ii = 0.

    Source:
        Yang et al., "Large Scale Product Graph Construction for Recommendation in E-commerce", 2020, eq. (1)-(3).
    """

    def links(self, taken: Taken) -> Links:
        """S."""
        users, size = taken.distinct(), taken.num_items
        items = self._sampled(users)
        weights = np.maximum(np.diff(users.offsets), 1.0) ** -self.config.beta
        keep = min(self.config.neighbours, max(size - 1, 1))
        found = np.zeros((size, keep), np.int32), np.zeros((size, keep), np.float32), np.zeros(size, np.int64)
        lists = (users.offsets, users.items, items.offsets, items.items)
        _kernels.swing(*lists, weights, self.config.alpha, self.threads, *found)
        links = Links.of(*found)
        return links.scaled() if self.config.normalized else links

    def _sampled(self, users: Taken) -> Taken:
        """Of each item at most `max_users` users, ascending."""
        items = users.by_item()
        rows = np.repeat(np.arange(users.num_items), np.diff(items.offsets))
        chance = np.random.default_rng([self.seed & 0xFFFFFFFFFFFFFFFF]).random(len(rows))
        order = np.lexsort((chance, rows))
        kept = np.sort(order[np.arange(len(order)) - items.offsets[:-1][rows] < self.config.max_users])
        counts = np.minimum(np.diff(items.offsets), self.config.max_users)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return Taken(items.items[kept], offsets, items.num_items)
