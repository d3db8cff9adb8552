"""`item_cf`: items are near that the same users took, by the cosine of their columns."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from easyrec.config.statistic import StatisticConfig
from easyrec.statistics import _kernels
from easyrec.statistics._statistic import Links, Statistic, Taken


class Config(StatisticConfig):
    """Config of `item_cf`."""

    type: Literal["item_cf"] = "item_cf"
    neighbours: int = Field(100, gt=0)
    """Items that each item keeps, the nearest ones."""
    inverse_user_frequency: bool = False
    """A user who took n items weighs 1 / log(1 + n), as who took much tells little of each."""
    shrinkage: float = Field(0.0, ge=0.0)
    """Added to the denominator, so that few common users are not enough."""
    normalized: bool = False
    """Scale what follows from an item to a sum of 1, so that items with few neighbours count as much."""


class ItemCF(Statistic):
    """``S_ij = sum_{u took i and j} w_u / (|x_i| |x_j| + shrinkage)``, ``|x_i|^2 = sum_{u took i} w_u``, S_ii = 0.

    Source:
        Sarwar et al., "Item-based Collaborative Filtering Recommendation Algorithms", WWW 2001, section 3.1.1; k nearest
        items and their normalization: Deshpande and Karypis, TOIS 2004, section 4; shrinkage: Bell and Koren, ICDM 2007;
        weights of users: the inverse frequency of Breese, Heckerman and Kadie, UAI 1998, section 2.2.3, of users.
    """

    def links(self, taken: Taken) -> Links:
        """S."""
        users = taken.distinct()
        items, size = users.by_item(), taken.num_items
        lengths = np.diff(users.offsets)
        weights = np.ones(len(lengths))
        if self.config.inverse_user_frequency:
            weights = 1.0 / np.log1p(np.maximum(lengths, 1))
        norms = np.sqrt(np.bincount(users.items, weights[users.users], size))
        keep = min(self.config.neighbours, max(size - 1, 1))
        found = np.zeros((size, keep), np.int32), np.zeros((size, keep), np.float32), np.zeros(size, np.int64)
        lists = (users.offsets, users.items, items.offsets, items.items)
        _kernels.cosine(*lists, weights, norms, self.config.shrinkage, self.threads, *found)
        links = Links.of(*found)
        return links.scaled() if self.config.normalized else links
