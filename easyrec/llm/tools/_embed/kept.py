"""`Kept`: the vectors of texts, each made once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from typing_extensions import Self

from easyrec.llm.client import Usage
from easyrec.llm.client.asked import key_of
from easyrec.llm.client.cache import Cache
from easyrec.llm.embedders.server import Server

PIECE = 1024
"""Texts that are made and kept together by an embedder that runs here."""
Side = Literal["document", "query"]


class Kept:
    """An embedder, and a file of what it has made. A server's answers are kept one by one, as they come.

    Args:
        config: Of the embedder.
        path: The file, where the embedder names none.

    Attributes:
        model: Digest of the embedder.
        given: Texts that it was given.

    Raises:
        EasyRecError: The embedder cannot be had, or the file cannot be opened.
    """

    def __init__(self, config: Any, path: str) -> None:
        if getattr(config, "cache", path) is None:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            config = config.model_copy(update={"cache": path})
        self._embedder = config.open()
        self.model: str = self._embedder.digest
        self.given = 0
        self._server = self._embedder if isinstance(self._embedder, Server) else None
        try:
            self._cache = None if self._server is not None else Cache(path)
        except BaseException:
            self._embedder.close()
            raise

    @property
    def spent(self) -> Usage | None:
        """What a server was paid for; None where there is none."""
        return None if self._server is None else self._server.client.ledger.spent

    def cost(self, spent: Usage) -> float:
        """What that costs."""
        return 0.0 if self._server is None else spent.cost(self._server.config.price)

    def vectors(self, texts: Sequence[str], side: Side, progress: Callable[[int], object] | None = None) -> np.ndarray:
        """(n, d) float32.

        Args:
            texts: Of which they are; equal ones are made once.
            side: As which the embedder takes them.
            progress: Is told how many more texts are done, whenever some are.

        Raises:
            BudgetError: It might cost more than is left.
            ModelError: The server cannot be asked.
        """
        if not texts:
            return np.zeros((0, 0), np.float32)
        if self._cache is None:
            return self._of_server(texts, side, progress)
        make = self._embedder.documents if side == "document" else self._embedder.queries
        keys = [key_of("kept", self.model, side, text) for text in texts]
        wanted = dict(zip(keys, texts, strict=True))
        found = self._cache.vectors(list(wanted))
        missing = [key for key in wanted if key not in found]
        if progress is not None:
            progress(len(texts) - len(missing))
        for start in range(0, len(missing), PIECE):
            some = missing[start : start + PIECE]
            made = dict(zip(some, make([wanted[key] for key in some], progress), strict=True))
            self._cache.keep_vectors(made)
            found.update(made)
        self.given += len(missing)
        return np.stack([found[key] for key in keys])

    def _of_server(self, texts: Sequence[str], side: Side, progress: Callable[[int], object] | None) -> np.ndarray:
        assert self._server is not None
        ledger = self._server.client.ledger
        had = ledger.spent.hits
        make = self._server.documents if side == "document" else self._server.queries
        made = make(texts, progress)
        self.given += len(set(texts)) - (ledger.spent.hits - had)
        return made

    def close(self) -> None:
        """Let go of both."""
        self._embedder.close()
        if self._cache is not None:
            self._cache.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
