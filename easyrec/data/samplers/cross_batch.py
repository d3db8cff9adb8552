"""`cross_batch`: the items of the batch, and those of the batches before it."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from easyrec.data.samplers import Draw, Sampler, SamplerConfig
from easyrec.data.samplers._shares import log_taken


class Config(SamplerConfig):
    """Config of `cross_batch`."""

    type: Literal["cross_batch"] = "cross_batch"
    batches: int = Field(4, gt=0)
    """Batches before the running one whose items stay candidates."""

    @property
    def counted(self) -> bool:
        """Yes."""
        return True


class CrossBatch(Sampler):
    """Every item of M + 1 batches once, with probability ``1 - (1 - n_i / n)^P`` for the P positions of all of them.

    The paper keeps the vectors of earlier items, which age while the model learns. Here the items are kept, and their
    vectors made anew: exact, for the price of their lookup.

    Source:
        Wang et al., "Cross-Batch Negative Sampling for Training Two-Tower Recommenders", SIGIR 2021, section 3.2.
    """

    def __init__(self, config: Config, counts: np.ndarray) -> None:
        super().__init__(config, counts)
        self.shares = counts / max(float(counts.sum()), 1.0)

    def draw(self, own: np.ndarray, random: np.random.Generator) -> Draw:
        """The items of the batch and of those before it, ascending."""
        held = (own, *self.earlier)
        met = np.zeros(len(self.counts), bool)
        for items in held:
            met[items] = True
        items = np.flatnonzero(met)
        self.earlier = held[: self.config.batches]
        log_q = log_taken(self.shares, items, sum(map(len, held))) if self.config.logq else None
        return Draw(items, inside=True, log_q=log_q)
