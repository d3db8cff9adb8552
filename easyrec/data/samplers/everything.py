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

    def __init__(self, config: Config, counts: np.ndarray) -> None:
        super().__init__(config, counts)
        self.whole = Draw(np.arange(len(counts)), inside=True)

    def draw(self, own: np.ndarray, random: np.random.Generator) -> Draw:
        """The catalogue."""
        return self.whole
