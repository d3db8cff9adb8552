"""Vector stores: the nearest chunks to a question.

One file per kind, each with a `Config` whose `open` gives a `VectorStore`. The knowledge base keeps all that there is to
know; a store holds what a search needs, and is told again what it has missed. So it need not be safe against crashes: what
it is told twice changes nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from typing_extensions import Self

from easyrec.retrieval.filters import Condition, Fact
from feature_generator.config import StrictModel

Known = dict[str, tuple[Fact, ...]]
"""What is known of a chunk, to filter by."""


class VectorStore(ABC):
    """Vectors by number. Any number of threads may search; one at a time changes it.

    All methods raise `StoreError` where the store cannot be reached or is damaged.
    """

    @abstractmethod
    def add(self, numbers: np.ndarray, vectors: np.ndarray, facts: Sequence[Known]) -> None:
        """Add vectors; one whose number is there takes its place.

        Args:
            numbers: (n,) int64, each once.
            vectors: (n, d) float32.
            facts: What is known of each.
        """

    @abstractmethod
    def remove(self, numbers: np.ndarray) -> None:
        """Take vectors away; who is not there is not missed."""

    @abstractmethod
    def commit(self, change: int) -> None:
        """What was changed may be found from now on, and all changes up to this one were told."""

    @abstractmethod
    def told(self) -> int:
        """The last change that a `commit` named and that is still known, at least; 0: none."""

    @abstractmethod
    def search(self, vector: np.ndarray, k: int, conditions: Sequence[Condition] = ()) -> tuple[np.ndarray, np.ndarray]:
        """The nearest of those that pass.

        Returns:
            Numbers (n,) int64 and inner products (n,) float32, the largest first.
        """

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def clear(self) -> None:
        """Forget everything."""

    def drop(self) -> None:
        """Forget everything, and leave nothing behind that another knowledge base of this name would meet."""
        self.clear()

    def close(self) -> None:  # noqa: B027 (many hold nothing)
        """Let go of what it holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class StoreConfig(StrictModel):
    """What configs of vector stores share."""

    def open(self, folder: Path, name: str) -> VectorStore:
        """The store.

        Args:
            folder: Where it may keep files.
            name: Of the knowledge base.

        Raises:
            EasyRecError: It cannot be had.
        """
        raise TypeError(f"{type(self).__module__} has no way to open it")
