"""`novelty`: how rare the found items are."""

from __future__ import annotations

from typing import Literal

import numpy as np

from easyrec.retrieval.metrics import RetrievalConfig
from easyrec.retrieval.metrics._shown import ShownMetric


class Config(RetrievalConfig):
    """Config of `novelty`."""

    type: Literal["novelty"] = "novelty"

    @property
    def counted(self) -> bool:
        """Yes."""
        return True


class Novelty(ShownMetric):
    """``-log2(n_i / n)``, mean over the first k items of all users; an item that was never met counts as met once.

    Source:
        Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems", PNAS 2010, surprisal.
    """

    def of_items(self) -> np.ndarray:
        """(N,), in bits."""
        counts = np.maximum(self.counts, 1.0)
        bits: np.ndarray = -np.log2(counts / counts.sum())
        return bits
