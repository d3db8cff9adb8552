"""Rewrites, and the way of a question through them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easyrec.errors import DataError
from easyrec.llm.rewriting.maker import Maker
from easyrec.llm.rewriting.rewriter import Rewriter, Served
from serving.server.answered import note
from serving.server.config import Listening
from serving.server.events import tell
from serving.server.http import Refused, Request
from serving.server.metrics import Board, Metrics

if TYPE_CHECKING:
    from easyrec.llm.config import LlmConfig
    from easyrec.llm.rewriting.config import RewriteConfig

POST_S = 1.0
"""How often numbers are left for others, and rewrites that were written anew are looked for."""


class RewriteService:
    """What the endpoints work with.

    Args:
        config: Where it is served.
        tools: What tools share.
        own: Section `rewrite`.
        maker: What rewrites are made with.
        state: Folder for numbers.

    Attributes:
        when_ready: Called when requests are taken.
    """

    def __init__(self, config: Listening, tools: LlmConfig, own: RewriteConfig, maker: Maker, state: Path) -> None:
        self.config, self.board, self.metrics = config, Board(state / "metrics"), Metrics()
        self._tools, self._own, self._maker = tools, own, maker
        self._running, self._open = 0, False
        self._rewriter: Rewriter | None = None
        self.when_ready: Callable[[], None] = lambda: None
        self._task: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether requests are taken."""
        return self._open

    @property
    def wait_ms(self) -> float:
        """How long a request waits for the model unless it says otherwise."""
        return self._own.online.deadline_ms

    # ----------------------------------------------------------------------------------------- start and stop

    async def start(self) -> None:
        """Begin to answer."""
        self._rewriter = Rewriter(self._tools, self._own, maker=self._maker)
        self._open = True
        self._task = asyncio.create_task(self._keep())
        tell(logging.INFO, "ready", head=len(self._maker.asks))
        self.when_ready()

    async def _keep(self) -> None:
        while True:
            self.board.tell(self.numbers())
            await asyncio.sleep(POST_S)
            try:
                if self._rewriter is not None and await asyncio.to_thread(self._rewriter.refresh):
                    tell(logging.INFO, "the head was read anew")
            except DataError as error:
                tell(logging.ERROR, "the head cannot be read, the former one stays", why=str(error))

    async def drain(self) -> None:
        """Take no more requests, and wait for those that were taken."""
        self._open = False
        tell(logging.INFO, "draining", running=self._running)
        end = asyncio.get_running_loop().time() + self.config.drain_s
        while self._running and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Let go of everything; what the model was asked and is paid for is waited for, and kept."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._rewriter is not None:
            await self._rewriter.close(self.config.drain_s)
        self.board.tell(self.numbers())

    # ---------------------------------------------------------------------------------------------- numbers

    def numbers(self) -> dict[str, Any]:
        """What was counted."""
        self.metrics.set("easyrec_running", self._running)
        self.metrics.set("easyrec_processes", 1)
        if self._rewriter is not None:
            spent = self._rewriter.client.ledger.spent
            self.metrics.set("easyrec_model_tokens", spent.tokens)
            self.metrics.set("easyrec_model_cost", self._rewriter.client.ledger.cost())
        return {**self.metrics.state(), "process": os.getpid()}

    def count(self, request: Request, endpoint: str, status: int, reason: str) -> None:
        """Count an answered request, and tell of it in the log where that was asked for."""
        note(self.metrics, self.config.log, request, endpoint, status, reason)

    # ---------------------------------------------------------------------------------------------- answers

    async def rewrite(self, query: str, category: str | None, brand: str | None, deadline_ms: float) -> Served:
        """Rewrites of a query.

        Raises:
            Refused: No more requests are taken, or too many are.
        """
        if not self._open or self._rewriter is None:
            raise Refused(503, "draining", "the server ends", retry_after=1)
        if self._running >= self.config.limits.queue:
            raise Refused(429, "queue", "too many requests wait", retry_after=1)
        self._running += 1
        try:
            served = await self._rewriter.rewrite(query, category, brand, deadline_ms=deadline_ms)
        finally:
            self._running -= 1
        self.metrics.add("easyrec_rewrites_total", origin=served.origin, why=served.why)
        return served
