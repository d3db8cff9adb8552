"""`uniform`: items of the catalogue, all equally likely."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from easyrec.data.samplers import Draw, Sampler, SamplerConfig
from easyrec.data.samplers._distinct import distinct


class Config(SamplerConfig):
    """Config of `uniform`."""

    type: Literal["uniform"] = "uniform"
    negatives: int = Field(256, gt=0)
    """Draws, with replacement: items that a batch's positions share."""


class Uniform(Sampler):
    """``P(i) = 1 / N`` in each draw; what is drawn twice counts once. No correction is needed."""

    def draw(self, own: np.ndarray, random: np.random.Generator) -> Draw:
        """The drawn items."""
        return Draw(distinct(random.integers(len(self.counts), size=self.config.negatives)), inside=False)
