"""`server`: a model behind the interface `/embeddings`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from easyrec.llm.client import Client, Endpoint
from easyrec.llm.client.asked import key_of
from easyrec.llm.embedders import Embedder, EmbedderConfig, Paid, Progress


class Config(Endpoint, EmbedderConfig):
    """Config of `server`: what an endpoint takes, and what embedders share."""

    type: Literal["server"] = "server"
    dimensions: int | None = Field(None, ge=1)
    """How many the model shall give, where it can give fewer."""
    normalised: bool = True
    """Whether vectors get the length 1."""

    def open(self) -> Embedder:
        """The embedder.

        Raises:
            ConfigError: The variable that holds the key is not set.
            ModelError: The cache cannot be opened.
        """
        return Server(self)


class Server(Embedder):
    """A client that asks for vectors.

    Attributes:
        client: Its `ledger` says what that took.
    """

    def __init__(self, config: Config) -> None:
        self.config, self.client = config, Client(config)
        told = (config.model, config.dimensions, config.normalised, config.query_prefix, config.document_prefix)
        self.digest = key_of(*told)

    def documents(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Vectors of what is searched."""
        return self._vectors(texts, self.config.document_prefix, progress)

    def queries(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Vectors of what is searched for."""
        return self._vectors(texts, self.config.query_prefix, progress)

    def _vectors(self, texts: Sequence[str], prefix: str, progress: Progress | None) -> np.ndarray:
        made = self.client.embed(texts, prefix=prefix, dimensions=self.config.dimensions, progress=progress)
        if self.config.normalised:
            made /= np.maximum(np.linalg.norm(made, axis=1, keepdims=True), 1e-12)
        return made

    def paid(self) -> Paid:
        """What it was paid for until now."""
        return Paid(self.config.model, self.client.ledger.spent, self.client.ledger.cost())

    def close(self) -> None:
        """Close connections and cache."""
        self.client.close()
