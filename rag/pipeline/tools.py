"""`Tools`: what the steps of a pipeline share."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from easyrec.errors import ConfigError, ModelError
from easyrec.llm.client import Client, Endpoint
from rag.knowledge import KnowledgeBase
from rag.pipeline.wiring import all_of

if TYPE_CHECKING:
    from rag.config import RagConfig


class Closing(Protocol):
    """What is closed at the end."""

    def close(self) -> None:
        """Let go of what it holds."""


C = TypeVar("C", bound=Closing)


class Tools:
    """The knowledge base, and models, each of them opened once and when it is needed first.

    Args:
        config: All of it.
        base: What is searched.

    Attributes:
        reranks: Whether a step looks again at what was found, and decides.
    """

    def __init__(self, config: RagConfig, base: KnowledgeBase) -> None:
        self.config, self.base = config, base
        self.reranks = any(getattr(step, "type", "") == "rerank" for step in all_of(config.steps()))
        self._stack, self._lock = ExitStack(), threading.Lock()
        self._clients: dict[str, Client] = {}
        self._closed = False

    def client(self, endpoint: Endpoint | None = None) -> Client:
        """Who is asked.

        Args:
            endpoint: Default: who answers.

        Raises:
            ConfigError: No model is configured, or the variable that holds its key is not set.
            ModelError: Its cache cannot be opened, or all of this was closed.
        """
        wanted = endpoint or self.config.llm
        if wanted is None:
            raise ConfigError("'llm' is missing: it says which model answers")
        key = wanted.model_dump_json()
        with self._lock:
            if self._closed:  # nobody would close it
                raise ModelError("the client was closed")
            if key not in self._clients:
                self._clients[key] = self.keep(Client(wanted))
            return self._clients[key]

    def tokens(self) -> int:
        """How many tokens the models took that were asked until now."""
        with self._lock:
            return sum(client.ledger.spent.tokens for client in self._clients.values())

    def keep(self, held: C) -> C:
        """Close something at the end."""
        self._stack.callback(held.close)
        return held

    def close(self) -> None:
        """Let go of models; the knowledge base is whose it is. Threads that wait for them are told."""
        with self._lock:
            self._closed = True
            held = self._stack.pop_all()
        held.close()

    def __enter__(self) -> Tools:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
