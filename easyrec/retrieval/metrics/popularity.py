"""`popularity`: how much more popular the found items are than items are on the whole."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from easyrec.retrieval.metrics import RetrievalConfig
from easyrec.retrieval.metrics._shown import ShownMetric


class Config(RetrievalConfig):
    """Config of `popularity`."""

    better: ClassVar[Literal["higher", "lower"] | None] = None

    type: Literal["popularity"] = "popularity"

    @property
    def counted(self) -> bool:
        """Yes."""
        return True


class Popularity(ShownMetric):
    """``n_i / mean(n)``, mean over the first k items of all users: 1 is no bias, above it popular items come first."""

    def of_items(self) -> np.ndarray:
        """(N,), the ratios."""
        ratios: np.ndarray = self.counts / max(float(np.mean(self.counts)), 1e-12)
        return ratios
