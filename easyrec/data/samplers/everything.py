"""`everything`: all items of the catalogue."""

from __future__ import annotations

from typing import Literal

import numpy as np

from easyrec.data.samplers import Draw, Sampler, SamplerConfig


class Config(SamplerConfig):
    """Config of `everything`."""

    type: Literal["everything"] = "everything"


class Everything(Sampler):
    """Nothing is left to chance: with the loss `softmax` the full softmax."""

    def draw(self, own: np.ndarray, random: np.random.Generator) -> Draw:
        """The catalogue."""
        return Draw(np.arange(len(self.counts)), inside=True)
