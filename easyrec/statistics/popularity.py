"""`popularity`: what most users took, the same for everyone."""

from __future__ import annotations

from typing import Literal

import numpy as np

from easyrec.config.statistic import StatisticConfig
from easyrec.statistics._statistic import Links, Statistic, Taken


class Config(StatisticConfig):
    """Config of `popularity`."""

    type: Literal["popularity"] = "popularity"


class Popularity(Statistic):
    """S = 0, and b_j is how often j was taken."""

    def fit(self, taken: Taken) -> tuple[Links, np.ndarray]:
        """S and b."""
        counts = np.bincount(taken.items, minlength=taken.num_items)
        return Links.none(taken.num_items), counts.astype(np.float32)
