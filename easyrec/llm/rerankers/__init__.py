"""Rerankers: how well documents answer a query, by a model that reads both at a time.

One file per kind, each with a `Config` whose `open` gives a `Reranker`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from typing_extensions import Self

from feature_generator.config import StrictModel


class Reranker(ABC):
    """Scores documents. Any number of threads may use it."""

    @abstractmethod
    def score(self, query: str, documents: Sequence[str]) -> np.ndarray:
        """(n,) float32; larger is better, and only the order means something."""

    def close(self) -> None:  # noqa: B027 (many hold nothing)
        """Let go of what it holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RerankerConfig(StrictModel):
    """What configs of rerankers share."""

    def open(self) -> Reranker:
        """The reranker.

        Raises:
            EasyRecError: It cannot be had.
        """
        raise TypeError(f"{type(self).__module__} has no way to open it")
