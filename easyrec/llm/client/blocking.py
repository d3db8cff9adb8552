"""`Client`: the same for code that waits, with an event loop of its own in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel
from typing_extensions import Self

from easyrec.errors import ModelError
from easyrec.llm.client.client import AsyncClient, Talk
from easyrec.llm.client.endpoint import Endpoint
from easyrec.llm.client.ledger import Ledger
from easyrec.llm.client.messages import Answer, Parsed, Piece
from easyrec.llm.client.tape import Tape

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
R = TypeVar("R")


class Client:
    """Asks a model and waits for what it says. Any number of threads may use it; close it, or use it as `with`.

    Args:
        endpoint: Which model, where, and within which limits.
        tape: Plays or records answers.

    Raises:
        ConfigError: The variable that holds the key is not set.
        ModelError: The cache cannot be opened.
    """

    def __init__(self, endpoint: Endpoint, *, tape: Tape | None = None) -> None:
        self.client = AsyncClient(endpoint, tape=tape)
        self._loop = asyncio.new_event_loop()
        self._lock, self._closed = threading.Lock(), False
        self._streams: set[AsyncIterator[Piece]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="language model", daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> Endpoint:
        """Which model is asked."""
        return self.client.endpoint

    @property
    def ledger(self) -> Ledger:
        """What the calls took."""
        return self.client.ledger

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """Wait for something that runs in the client's loop; an interrupted wait ends it.

        Raises:
            ModelError: The client was closed.
        """
        with self._lock:  # what is begun is begun before `_end`, which waits for it
            if self._closed:
                work.close()
                raise ModelError("the client was closed")
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except CancelledError:
            raise ModelError("the client was closed") from None
        except BaseException:
            future.cancel()
            raise

    def chat(self, talk: Talk, **options: Any) -> Answer:
        """As `AsyncClient.chat`."""
        return self.run(self.client.chat(talk, **options))

    def structured(self, talk: Talk, schema: type[M], **options: Any) -> Parsed[M]:
        """As `AsyncClient.structured`."""
        return self.run(self.client.structured(talk, schema, **options))

    def embed(self, texts: Sequence[str], **options: Any) -> np.ndarray:
        """As `AsyncClient.embed`."""
        return self.run(self.client.embed(texts, **options))

    def rerank(self, query: str, documents: Sequence[str]) -> np.ndarray:
        """As `AsyncClient.rerank`."""
        return self.run(self.client.rerank(query, documents))

    def each(self, items: Iterable[T], work: Callable[[AsyncClient, T], Coroutine[Any, Any, R]]) -> list[R]:
        """`work` of each item, as many at a time as the endpoint allows, in the order of the items.

        Args:
            items: Whatever is worked on.
            work: Gets the client and an item.
        """
        return self.run(self.client.each(items, lambda item: work(self.client, item)))

    def stream(self, talk: Talk, **options: Any) -> Iterator[Piece]:
        """As `AsyncClient.stream`. Leaving the loop, or closing the iterator, ends the answer."""
        pieces = self.client.stream(talk, **options)
        self._streams.add(pieces)
        try:
            while (piece := self.run(_next(pieces))) is not None:
                yield piece
        finally:
            with suppress(ModelError):  # a client that is closed ends it too, and holds it until then
                self.run(_end(pieces))
                self._streams.discard(pieces)

    def close(self) -> None:
        """End what still runs, and close connections and cache."""
        with self._lock:
            closed, self._closed = self._closed, True
        if closed:
            self._thread.join()  # somebody else is at it
            return
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for pieces in list(self._streams):  # answers that nobody hears to their end, each from its outside in: the loop
            await _end(pieces)  # would close what a closing one still holds beside it
        await self._loop.shutdown_asyncgens()
        await self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


async def _next(pieces: AsyncIterator[Piece]) -> Piece | None:
    """The next piece, if there is one."""
    return await anext(pieces, None)


async def _end(pieces: AsyncIterator[Piece]) -> None:
    """End an answer that nobody listens to."""
    await pieces.aclose()  # type: ignore[attr-defined]  # it is a generator
