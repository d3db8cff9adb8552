"""`mixed`: the items of the batch's other rows, and as many of the whole catalogue as are asked for."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from easyrec.data.samplers import Draw, Sampler, SamplerConfig
from easyrec.data.samplers._distinct import distinct
from easyrec.data.samplers._shares import log_taken


class Config(SamplerConfig):
    """Config of `mixed`."""

    type: Literal["mixed"] = "mixed"
    negatives: int = Field(256, gt=0)
    """Draws, uniform and with replacement: items of the catalogue beside those of the batch."""

    @property
    def counted(self) -> bool:
        """Yes."""
        return True


class Mixed(Sampler):
    """An item is there with ``1 - (1 - n_i / n)^P (1 - 1 / N)^K``: items that no batch shows are compared with too.

    Source:
        Yang et al., "Mixed Negative Sampling for Learning Two-tower Neural Networks in Recommendations", WWW 2020.
    """

    def __init__(self, config: Config, counts: np.ndarray) -> None:
        super().__init__(config, counts)
        self.shares = counts / max(float(counts.sum()), 1.0)

    def draw(self, own: np.ndarray, random: np.random.Generator) -> Draw:
        """The batch's own items and the drawn ones."""
        drawn = random.integers(len(self.counts), size=self.config.negatives)
        items = distinct(np.concatenate([own, drawn]))
        if not self.config.logq:
            return Draw(items, inside=True)
        elsewhere = (1.0 - 1.0 / len(self.counts)) ** self.config.negatives  # in no draw
        taken = 1.0 - (1.0 - np.exp(log_taken(self.shares, items, len(own)).astype(np.float64))) * elsewhere
        return Draw(items, inside=True, log_q=np.log(taken).astype(np.float32))
