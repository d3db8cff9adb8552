"""A server's parts, and the way of a question through them: admitted, read, scored, answered, counted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from serving.server import store_numbers
from serving.server.admission import Admission, late
from serving.server.answered import note
from serving.server.aside import Aside
from serving.server.batching import SMALL_BYTES, Batcher, ask_all
from serving.server.columns import Question, Scores, ask, filled
from serving.server.config import ServerConfig
from serving.server.events import tell
from serving.server.http import Answer, Refused, Request
from serving.server.keeper import Keeper
from serving.server.metrics import Board, Metrics
from serving.server.models import Loaded, Model, Models
from serving.server.recent import Recent

POST_S = 1.0
"""How often a process leaves its numbers for the others."""
ORDERS_S = 1.0
"""How often it looks for orders of others where it does not look at bundles."""
KNOWN = 256
"""Kinds of requests that are recognised, so that they need not be looked at in full."""
JUDGE_S = 10.0
"""How often it compares what was counted with training."""
TIDY_S = 60.0
"""How often it looks for files that are too old."""
T = TypeVar("T")


@dataclass
class Asked:
    """A question with whom it asks.

    Attributes:
        model: The model's name; empty: the only one.
        version: A version's name or digest; empty: by the weights.
        rows: Candidates, as far as they are known.
        read: Makes the question, given the bundle that will answer.
        write: Makes the answer.
    """

    model: str
    version: str
    rows: int
    read: Callable[[Model, Loaded], Question]
    write: Callable[[Model, Loaded, Scores], Answer]


class Service:
    """What the endpoints work with.

    Args:
        config: The server's.
        state: Folder that the processes of the server share.

    Attributes:
        after: What is done after an answer.
        when_ready: Called when all models answer.
    """

    def __init__(self, config: ServerConfig, state: Path) -> None:
        self.config, self.board = config, Board(state / "metrics")
        self.models, self.metrics = Models(config.models), Metrics()
        self.keeper = Keeper(config, self.models, self.metrics, state)
        self.after = Aside(config, self.metrics)
        self._batchers = {
            model.name: Batcher(model.config.batching, partial(self._answer_batch, model))
            for model in self.models
            if model.config.batching is not None
        }
        self.heads: Recent[Any] = Recent(KNOWN)
        self.skeletons: Recent[Any] = Recent(KNOWN)
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="aside")
        self.admission = Admission(config.num_threads, config.limits.queue)
        self.when_ready: Callable[[], None] = lambda: None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def ready(self) -> bool:
        """Whether requests are taken and every model answers."""
        return self.admission.open and self.loaded

    @property
    def loaded(self) -> bool:
        """Whether all is there that requests need."""
        return self.models.ready

    def begin(self) -> None:
        """Load all that requests need, for the first time."""
        self.keeper.begin()

    def watch(self) -> None:
        """Follow what has changed."""
        self.keeper.watch()

    # ----------------------------------------------------------------------------------------- start and stop

    async def start(self) -> None:
        """Begin to load the models; until that is done, requests are answered 503."""
        for work in (self._keep(), self._post()):
            task = asyncio.create_task(work)
            task.add_done_callback(_told)
            self._tasks.append(task)

    async def stop(self) -> None:
        """Let go of everything."""
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self.admission.pool.shutdown()
        self._aside.shutdown()
        self.after.close()
        self.board.tell(self.numbers())
        self.models.close()

    async def drain(self) -> None:
        """Take no more requests, and wait for those that were taken."""
        self.admission.open, self.admission.why = False, "draining"
        tell(logging.INFO, "draining", running=self.admission.running, waiting=self.admission.waiting)
        if not await self.admission.drained(self.config.drain_s):
            tell(logging.WARNING, "requests were given up", running=self.admission.running)

    async def _keep(self) -> None:
        await self.aside(self.begin)
        self.admission.open = True
        if not self.models.ready:
            lacking = [model.name for model in self.models if not model.ready]
            tell(logging.ERROR, "not all models answer", lacking=lacking)
        told = False
        while True:
            if self.loaded and not told:
                told = True
                tell(logging.INFO, "ready", models=[model.name for model in self.models])
                self.after.check(self.models)
                self.when_ready()
            await asyncio.sleep(self.config.watch_s or ORDERS_S)
            await self.aside(self.watch)

    async def aside(self, work: Callable[[], T]) -> T:
        """Run what is no answer, one after another, in a thread of its own."""
        return await asyncio.get_running_loop().run_in_executor(self._aside, work)

    # ---------------------------------------------------------------------------------------------- numbers

    async def _post(self) -> None:
        tidied = judged = time.monotonic()
        while True:
            self.board.tell(self.numbers())
            if time.monotonic() - tidied > TIDY_S:
                tidied = time.monotonic()
                self.after.tidy()
            if time.monotonic() - judged > JUDGE_S:
                judged = time.monotonic()
                self.after.judge(self.models, self.board)
            await asyncio.sleep(POST_S)

    def numbers(self) -> dict[str, Any]:
        """What this process counted."""
        metrics = self.metrics
        metrics.set("easyrec_waiting", self.admission.waiting)
        metrics.set("easyrec_running", self.admission.running)
        metrics.set("easyrec_processes", 1)
        metrics.clear("easyrec_model_info")
        for model in self.models:
            for version in model.versions:
                loaded = version.current
                if loaded is not None:
                    role = "out" if version.out else "answer" if version.config.shadow is None else "shadow"
                    labels = {"model": model.name, "version": loaded.version, "role": role}
                    metrics.set("easyrec_model_info", 1, **labels)
        self._set_caches()
        state = {**metrics.state(), "process": os.getpid()}
        if self.after.drift is not None:
            state["drift"] = self.after.drift.state()
        if self.keeper.trials:
            state["canaries"] = self.keeper.trials.state
        sources = [(model.name, model.source) for model in self.models if model.source is not None]
        readers = [(name, reader) for name, source in sources for reader in source.readers()]
        stores = {source.config.project: source.near for _, source in sources}
        for kind, more in store_numbers.numbers(stores, readers).items():
            state[kind] += more
        state["counters"] += self._cache_counters()
        state["counters"] += [["easyrec_values_total", labels, count] for labels, count in self.values().items()]
        return state

    def _set_caches(self) -> None:
        names = {"rows": "rows", "bytes": "nbytes", "age_seconds": "age_s"}
        for name in names:
            self.metrics.clear(f"easyrec_cache_{name}")
        for model in self.models:
            for version in model.versions:
                loaded = version.current
                for cache, stats in loaded.caches().items() if loaded is not None else ():
                    labels = {
                        "model": model.name,
                        "version": loaded.version if loaded is not None else "",
                        "cache": cache,
                    }
                    for name, field in names.items():
                        self.metrics.set(f"easyrec_cache_{name}", getattr(stats, field), **labels)

    def _cache_counters(self) -> list[list[Any]]:
        found: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()
        for model in self.models:
            for version in model.versions:
                for (cache, kind), count in version.cache_counts().items():
                    found[f"easyrec_cache_{kind}_total", (("model", model.name), ("cache", cache))] += count
        return [[name, labels, count] for (name, labels), count in found.items()]

    def values(self) -> dict[tuple[tuple[str, str], ...], int]:
        """Values that were missing, unknown or bad, by model, kind, and column or feature."""
        found: dict[tuple[tuple[str, str], ...], int] = {}
        for model in self.models:
            for counts in model.value_counts():
                for (kind, name), count in counts.items():
                    key = (("model", model.name), ("kind", kind), ("name", name))
                    found[key] = found.get(key, 0) + count
        return found

    def count(self, request: Request, endpoint: str, status: int, reason: str) -> None:
        """Count an answered request, and tell of it in the log where that was asked for."""
        note(self.metrics, self.config.log, request, endpoint, status, reason)

    # ---------------------------------------------------------------------------------------------- answers

    async def score(self, request: Request, open_: Callable[[bytes], Asked]) -> Answer:
        """Answer a request for scores.

        Args:
            request: Its body was not read yet.
            open_: Makes of the body whom is asked what.
        """
        self.admission.check()
        limits = self.config.limits
        body = await request.body(limits.body_bytes, limits.body_timeout_s)
        return await self.ask(request, lambda: open_(body), num_bytes=len(body))

    async def ask(self, request: Request, open_: Callable[[], Asked], *, num_bytes: int) -> Answer:
        """Answer a request whose body was read.

        Args:
            request: The request.
            open_: Tells whom is asked what.
            num_bytes: Of the body; that of a small one may be read in the event loop.
        """
        if self._batchers and num_bytes <= SMALL_BYTES:
            asked = open_()
            model = self.models.get(asked.model)
            batcher = self._batchers.get(model.name)
            if batcher is not None and not asked.version and 0 < asked.rows <= batcher.config.max_rows:
                left_s = request.deadline - time.perf_counter()
                answer: Answer = await batcher.add((request, asked), asked.rows, left_s)
                return answer
            return await self._alone(request, lambda: asked, num_bytes)
        return await self._alone(request, open_, num_bytes)

    async def _alone(self, request: Request, open_: Callable[[], Asked], num_bytes: int) -> Answer:
        kind = (request.path, num_bytes.bit_length())  # bodies that are up to twice as large take about as long
        work = partial(self._answer, request, open_)
        answer, waited = await self.admission.run(work, request.deadline, kind)
        request.times["queue"] = waited
        return answer

    def _answer(self, request: Request, open_: Callable[[], Asked]) -> Answer:
        """What a thread does."""
        begun = time.perf_counter()
        _in_time(request, begun)
        asked = open_()
        model = self.models.get(asked.model)
        request.model = model.name
        trials, named = self.keeper.trials, bool(asked.version)
        with model.pick(asked.version).leased() as loaded, trials.watching(model, loaded, named=named):
            request.version = loaded.version
            given = asked.read(model, loaded)
            parsed = time.perf_counter()
            question = filled(loaded, given, request.deadline - parsed)
            read = time.perf_counter()
            scores = ask(loaded, question, 1000.0 * (request.deadline - read))
            given.explained = question.explained
            scored = time.perf_counter()
            answer = asked.write(model, loaded, scores)
            self._after(model, loaded, question, scores)
            if not named:
                trials.answered(model, loaded, scores)
        request.times |= {"parse": parsed - begun, "score": scored - read, "write": time.perf_counter() - scored}
        if model.source is not None:
            request.times["store"] = read - parsed
        return answer

    async def _answer_batch(self, model: Model, entries: list[tuple[Request, Asked]]) -> list[Answer | Exception]:
        """Answer several requests for one model at once. Each waits until its own deadline, all of them until the last one."""
        deadline = max(request.deadline for request, _ in entries)
        answers, waited = await self.admission.run(lambda: self._answer_all(model, entries), deadline)
        for request, _ in entries:
            request.times["queue"] = waited
        return answers

    def _answer_all(self, model: Model, entries: list[tuple[Request, Asked]]) -> list[Answer | Exception]:
        begun = time.perf_counter()
        results: list[Answer | Exception | None] = [None] * len(entries)
        with model.pick().leased() as loaded:
            questions: dict[int, Question] = {}
            for place, (request, asked) in enumerate(entries):
                request.model, request.version = model.name, loaded.version
                try:
                    _in_time(request, begun)
                    left_s = request.deadline - time.perf_counter()
                    questions[place] = filled(loaded, asked.read(model, loaded), left_s)
                except Refused as refused:
                    results[place] = refused
                    if refused.status != 504:
                        self.keeper.trials.answered(model, loaded, None)
            parsed = time.perf_counter()
            found = ask_all(loaded, list(questions.values()))
            scored = time.perf_counter()
            for (place, question), scores in zip(questions.items(), found, strict=True):
                request, asked = entries[place]
                request.times |= {"parse": parsed - begun, "score": scored - parsed}
                if isinstance(scores, Refused):
                    results[place] = scores
                    self.keeper.trials.answered(model, loaded, None)
                    continue
                results[place] = asked.write(model, loaded, scores)
                self._after(model, loaded, question, scores)
                self.keeper.trials.answered(model, loaded, scores)
            self.metrics.observe("easyrec_batch_rows", sum(q.count for q in questions.values()), model=model.name)
        return [result for result in results if result is not None]

    def _after(self, model: Model, loaded: Loaded, question: Question, scores: Scores) -> None:
        count = len(next(iter(scores.values()), ()))
        self.metrics.add("easyrec_items_total", count, model=model.name, version=loaded.version)
        self.after.answered(model, loaded, question, scores)


def _in_time(request: Request, now: float) -> None:
    if now > request.deadline:
        raise late("queue")


def _told(task: asyncio.Task[None]) -> None:
    """Say so where a task in the background fails, which should never happen."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        tell(logging.ERROR, "a task in the background failed", error)
