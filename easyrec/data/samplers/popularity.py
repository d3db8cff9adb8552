"""`popularity`: items of the catalogue, in proportion to a power of how often they are met."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from easyrec.data.samplers import Draw, Sampler, SamplerConfig
from easyrec.data.samplers._distinct import distinct
from easyrec.data.samplers._shares import Shares, log_taken


class Config(SamplerConfig):
    """Config of `popularity`."""

    type: Literal["popularity"] = "popularity"
    negatives: int = Field(256, gt=0)
    """Draws, with replacement: items that a batch's positions share."""
    alpha: float = Field(0.75, ge=0.0)
    """The power: 0 is uniform, 1 in proportion to the items' counts."""

    @property
    def counted(self) -> bool:
        """Yes."""
        return True


class Popularity(Sampler):
    """``P(i) = n_i^alpha / sum_j n_j^alpha`` in each draw, where an item never met counts as met once.

    What is drawn twice counts once.

    Source:
        The power: Mikolov et al., "Distributed Representations of Words and Phrases", NIPS 2013, section 2.2.
    """

    def __init__(self, config: Config, counts: np.ndarray) -> None:
        super().__init__(config, counts)
        self.shares = Shares(np.maximum(counts, 1.0) ** config.alpha)
        self.logs = log_taken(self.shares.shares, np.arange(len(counts)), config.negatives)

    def draw(self, own: np.ndarray, random: np.random.Generator) -> Draw:
        """The drawn items."""
        items = distinct(self.shares.draw(self.config.negatives, random))
        if not self.config.logq:
            return Draw(items, inside=False)
        return Draw(items, inside=False, log_q=self.logs[items], own_log_q=self.logs[distinct(own)])
