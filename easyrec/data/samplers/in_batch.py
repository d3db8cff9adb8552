"""`in_batch`: the items of the batch's other rows."""

from __future__ import annotations

from typing import Literal

import numpy as np

from easyrec.data.samplers import Draw, Sampler, SamplerConfig
from easyrec.data.samplers._distinct import distinct
from easyrec.data.samplers._shares import log_taken


class Config(SamplerConfig):
    """Config of `in_batch`."""

    type: Literal["in_batch"] = "in_batch"

    @property
    def counted(self) -> bool:
        """Yes."""
        return True


class InBatch(Sampler):
    """Every item of the batch once, with probability ``1 - (1 - n_i / n)^P`` for an item met n_i times of n.

    Source:
        The correction: Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations",
        RecSys 2019, section 4.
    """

    def __init__(self, config: Config, counts: np.ndarray) -> None:
        super().__init__(config, counts)
        self.shares = counts / max(float(counts.sum()), 1.0)

    def draw(self, own: np.ndarray, random: np.random.Generator) -> Draw:
        """The batch's own items, ascending."""
        items = distinct(own)
        log_q = log_taken(self.shares, items, len(own)) if self.config.logq else None
        return Draw(items, inside=True, log_q=log_q)
