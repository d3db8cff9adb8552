"""Embedders: texts as vectors, by an encoder that runs here or by a model's server.

One file per kind, each with a `Config` whose `open` gives an `Embedder`. Queries and documents are told apart, since many
models want other words before the ones than before the others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field
from typing_extensions import Self

from feature_generator.config import StrictModel

if TYPE_CHECKING:
    from easyrec.llm.client import Usage

Progress = Callable[[int], object]
"""Is told how many more texts are done."""


@dataclass(frozen=True)
class Paid:
    """What vectors took.

    Attributes:
        model: The server's.
        spent: By the server's count.
        cost: In money, by its price.
    """

    model: str
    spent: Usage
    cost: float


class Embedder(ABC):
    """Makes vectors. Any number of threads may use it.

    Attributes:
        digest: Tells models apart: vectors of equal digests can be compared.
    """

    digest: str

    @abstractmethod
    def documents(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Vectors of what is searched; (n, d) float32."""

    @abstractmethod
    def queries(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Vectors of what is searched for; (n, d) float32."""

    def paid(self) -> Paid | None:
        """What its server was paid for until now; None where there is none."""
        return None

    def close(self) -> None:  # noqa: B027 (many hold nothing)
        """Let go of what it holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class EmbedderConfig(StrictModel):
    """What configs of embedders share."""

    query_prefix: str = Field("", max_length=1000)
    """Stands before each query, as `query: ` for the models called e5."""
    document_prefix: str = Field("", max_length=1000)
    """Stands before each document, as `passage: `."""

    def open(self) -> Embedder:
        """The embedder.

        Raises:
            EasyRecError: It cannot be had.
        """
        raise TypeError(f"{type(self).__module__} has no way to open it")
