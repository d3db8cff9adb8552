"""`server`: a model behind the interface `/rerank`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from easyrec.llm.client import Client, Endpoint
from easyrec.llm.rerankers import Reranker, RerankerConfig


class Config(Endpoint, RerankerConfig):
    """Config of `server`: what an endpoint takes."""

    type: Literal["server"] = "server"

    def open(self) -> Reranker:
        """The reranker.

        Raises:
            ConfigError: The variable that holds the key is not set.
            ModelError: The cache cannot be opened.
        """
        return Server(self)


class Server(Reranker):
    """A client that asks for scores.

    Attributes:
        client: Its `ledger` says what that took.
    """

    def __init__(self, config: Config) -> None:
        self.client = Client(config)

    def score(self, query: str, documents: Sequence[str]) -> np.ndarray:
        """What the server says."""
        return self.client.rerank(query, documents)

    def close(self) -> None:
        """Close connections and cache."""
        self.client.close()
