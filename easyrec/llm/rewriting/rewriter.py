"""`Rewriter`: rewrites while people search: at once where they are known, else as soon as the model has made them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from typing_extensions import Self

from easyrec.errors import AnswerError, ModelError
from easyrec.llm.client import AsyncClient
from easyrec.llm.client.asked import key_of
from easyrec.llm.rewriting.config import RewriteConfig
from easyrec.llm.rewriting.files import read
from easyrec.llm.rewriting.kept import Kept
from easyrec.llm.rewriting.maker import Maker, Prepared, endpoint_of, folder_of
from easyrec.llm.rewriting.prompt import LONGEST
from easyrec.llm.rewriting.rewrites import Ask, Made, Rewrite

if TYPE_CHECKING:
    from easyrec.llm.config import LlmConfig

Origin = Literal["head", "kept", "model", "alike", "bid_words", "none"]
"""Where rewrites come from: made ahead; made for an earlier request; made now; made ahead for a query of the same words; bid words
that stand inside of the query; or there are none."""
Why = Literal["", "late", "busy", "paused", "failed", "nothing"]
"""Why it is not the model's: it takes longer than the deadline, is asked enough at the moment, could not be reached a moment ago,
did not answer as asked, or wrote nothing that is taken."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Served:
    """What a request gets.

    Attributes:
        rewrites: The best first.
        origin: Where they come from.
        why: Why they are not the model's, where it was asked or should have been.
    """

    rewrites: tuple[Rewrite, ...]
    origin: Origin
    why: Why = ""


class Rewriter:
    """Rewrites queries. All of its calls belong to one event loop; use it as `async with`.

    A request gets what was made ahead, or for an earlier request. Else the model is asked, once for equal queries at a time, and
    the request waits until its deadline; what the model says later is kept for the next request, and this one gets, at once,
    the rewrites of a query with the same words, or bid words all of whose words stand in the query.

    Args:
        config: What tools share.
        own: Section `rewrite`.
        maker: What rewrites are made with; default: one out of the config.
        now: Seconds since 1970.
        clock: Seconds that never run backwards.

    Attributes:
        counts: Requests by origin, and by why they were not the model's.
        client: Its `ledger` says what the model took.

    Raises:
        ConfigError: There is no model, or what is configured needs an embedder.
        DataError: A table cannot be read.
        ModelError: A file of kept answers cannot be opened.
    """

    def __init__(
        self,
        config: LlmConfig,
        own: RewriteConfig,
        *,
        maker: Maker | None = None,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        endpoint, online = config.asked(), own.online
        self.own, self.counts, self._clock = own, Counter[str](), clock
        self.maker = maker or Maker(config, own)
        self._owned = maker is None
        self.client = AsyncClient(endpoint_of(endpoint, own))
        path = folder_of(own) / "requests.db"
        self._kept = Kept(path, online.ttl_s, online.failed_ttl_s, online.entries, now)
        settings = own.model_dump(mode="json", exclude={"online", "serve", "output", "folder", "head", "max_failed"})
        self._digest = key_of(settings, endpoint.base_url, endpoint.model)
        self._running: dict[str, asyncio.Task[tuple[Rewrite, ...]]] = {}
        self._pool = ThreadPoolExecutor(online.threads, "rewrites")
        self._paused_until = -1.0
        self._head: dict[str, list[Made]] = {}
        self._alike: dict[str, list[Made]] = {}
        self._seen: tuple[int, int] | None = None
        self.refresh()

    def refresh(self) -> bool:
        """Take the head that lies there now, where it was written anew; says whether it was. Any thread may call it.

        Raises:
            DataError: It cannot be read; the former one stays.
        """
        path = Path(self.own.output)
        try:
            found = path.stat()
        except OSError:
            return False  # it may come later
        now = found.st_mtime_ns, found.st_size
        if now == self._seen:
            return False
        head: dict[str, list[Made]] = {}
        alike: dict[str, list[Made]] = {}
        for made in read(path):
            if made.kept:
                head.setdefault(self.maker.forms.normal(made.ask.query), []).append(made)
                alike.setdefault(self.maker.forms.bag(made.ask.query), []).append(made)
        self._head, self._alike, self._seen = head, alike, now
        return True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, patience_s: float = 0.0) -> None:
        """Let go of everything.

        Args:
            patience_s: How long it waits for what the model is being asked, so that it is kept.
        """
        if self._running and patience_s:
            await asyncio.wait(list(self._running.values()), timeout=patience_s)
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self.client.close()
        self._pool.shutdown()
        self._kept.close()
        if self._owned:
            self.maker.close()

    # ------------------------------------------------------------------------------------------------ requests

    async def rewrite(
        self,
        query: str,
        category: str | None = None,
        brand: str | None = None,
        *,
        deadline_ms: float | None = None,
    ) -> Served:
        """Rewrites of a query.

        Args:
            query: What somebody searches; of a longer one than a model is shown, its beginning.
            category: Its category, where that is known.
            brand: The brand that it names, where that is known.
            deadline_ms: How long to wait for the model; default: as the config says.
        """
        served = await self._served(query[:LONGEST], category, brand, deadline_ms)
        self.counts[served.origin] += 1
        if served.why:
            self.counts[served.why] += 1
        return served

    async def _served(self, query: str, category: str | None, brand: str | None, deadline_ms: float | None) -> Served:
        normal = self.maker.forms.normal(query)
        if not normal:
            return Served((), "none")
        ahead = _fitting(self._head.get(normal, ()), category, brand)
        if ahead is not None:
            return Served(ahead.kept, "head")
        ask, key = Ask(query, category, brand), key_of(self._digest, normal, category, brand)
        kept = self._known(key)
        if kept:
            return Served(kept, "kept")
        if kept is not None:
            return self._fallback(ask, "nothing")
        task = self._running.get(key)
        if task is None:
            if self._clock() < self._paused_until:
                return self._fallback(ask, "paused")
            if len(self._running) >= self.own.online.waiting:
                return self._fallback(ask, "busy")
            task = self._start(key, ask)
        wait = self.own.online.deadline_ms if deadline_ms is None else deadline_ms
        done, _ = await asyncio.wait({task}, timeout=max(wait, 0.0) / 1000.0)
        if not done:
            return self._fallback(ask, "late")
        if task.cancelled() or task.exception() is not None:
            return self._fallback(ask, "failed")
        made = task.result()
        return Served(made, "model") if made else self._fallback(ask, "nothing")

    def _known(self, key: str) -> tuple[Rewrite, ...] | None:
        try:
            return self._kept.get(key)
        except ModelError as error:  # a disk that fails is no reason to answer nobody
            log.warning("%s", error)
            return None

    def _fallback(self, ask: Ask, why: Why) -> Served:
        """What can be had at once."""
        alike = _fitting(self._alike.get(self.maker.forms.bag(ask.query), ()), ask.category, ask.brand)
        if alike is not None:
            return Served(alike.kept, "alike", why)
        if self.maker.bid_words is not None:
            inside = self.maker.bid_words.inside(ask.query, self.own.rewrites)
            kept, _ = self.maker.filters.sort(ask, [word for word, _ in inside])
            shares = dict(inside)
            found = tuple(Rewrite(one.text, round(shares[one.text], 6), one.bid_word, one.match) for one in kept)
            if found:
                return Served(found, "bid_words", why)
        return Served((), "none", why)

    # ---------------------------------------------------------------------------------------------- the model

    def _start(self, key: str, ask: Ask) -> asyncio.Task[tuple[Rewrite, ...]]:
        task = asyncio.get_running_loop().create_task(self._make(key, ask))
        self._running[key] = task

        def ended(done: asyncio.Task[tuple[Rewrite, ...]]) -> None:
            del self._running[key]
            if not done.cancelled() and done.exception() is not None:  # nobody may be waiting who would tell
                log.warning("a query was not rewritten: %s", done.exception())

        task.add_done_callback(ended)
        return task

    async def _make(self, key: str, ask: Ask) -> tuple[Rewrite, ...]:
        """Ask the model, and keep what comes of it."""
        loop = asyncio.get_running_loop()
        try:
            (prepared,) = await loop.run_in_executor(self._pool, self._prepared, ask)
            try:
                parsed = await self.client.structured(
                    self.maker.talk(prepared), self.maker.schema, temperature=self.own.temperature
                )
            except AnswerError:
                await loop.run_in_executor(self._pool, self._keep, key, ())
                raise
            made = await loop.run_in_executor(
                self._pool, lambda: self.maker.sorted([prepared], [parsed.value], kept=False)
            )
        except AnswerError:
            raise
        except ModelError:
            self._paused_until = self._clock() + self.own.online.pause_s
            raise
        await loop.run_in_executor(self._pool, self._keep, key, made[0].kept)
        return made[0].kept

    def _prepared(self, ask: Ask) -> list[Prepared]:
        return self.maker.prepare([ask], self.maker.vectors([ask.query], kept=False))

    def _keep(self, key: str, rewrites: tuple[Rewrite, ...]) -> None:
        with contextlib.suppress(ModelError):  # it is made again then
            self._kept.put(key, rewrites)


def _fitting(made: list[Made] | tuple[()], category: str | None, brand: str | None) -> Made | None:
    """The first of some entries that says nothing else of the query."""
    for one in made:
        if category in (None, one.ask.category) and brand in (None, one.ask.brand):
            return one
    return None
