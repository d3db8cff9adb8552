"""A store's readers, and the way of a question through them: admitted, read, answered, counted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from easyrec.errors import DataError, StoreError, nearest
from easyrec.store.near import NearStore
from easyrec.store.read_log import ReadLog
from easyrec.store.reader import ModelReader, ReadColumns
from serving.server import store_numbers
from serving.server.admission import Admission
from serving.server.answered import note
from serving.server.columns import unread
from serving.server.events import tell
from serving.server.http import Refused, Request
from serving.server.metrics import Board, Metrics
from serving.store.config import ServeConfig, StoreServerConfig
from serving.store.question import Question

POST_S = 1.0
"""How often a process leaves its numbers for the others, and looks whether it has become ready."""
T = TypeVar("T")


class StoreService:
    """What the endpoints work with.

    Args:
        definitions: Of the store, with section `serve`.
        state: Folder that the processes of the server share.

    Attributes:
        readers: By model.
        when_ready: Called when all that is to be held in memory is there.

    Raises:
        StoreError: The store cannot be opened.
    """

    def __init__(self, definitions: StoreServerConfig, state: Path) -> None:
        self.definitions, self.board, self.metrics = definitions, Board(state / "metrics"), Metrics()
        self.near = NearStore(definitions.online.open(definitions.project), definitions.read)
        self._logs = {one.name: ReadLog.of(definitions, one.name) for one in definitions.models}
        self.readers = {name: ModelReader(definitions, self.near, name, log=log) for name, log in self._logs.items()}
        self.admission = Admission(self.config.num_threads, self.config.limits.queue)
        self.when_ready: Callable[[], None] = lambda: None
        self._task: asyncio.Task[None] | None = None

    @property
    def config(self) -> ServeConfig:
        """How it is served."""
        return self.definitions.serve

    @property
    def ready(self) -> bool:
        """Whether requests are taken, and all that is to be held in memory is there."""
        return self.admission.open and self.near.ready

    # ----------------------------------------------------------------------------------------- start and stop

    async def start(self) -> None:
        """Begin to load what is to be held in memory; until it is there, the store is read for each request."""
        self.admission.open = True
        self._task = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(None, self.near.start)
        except StoreError as error:
            tell(logging.ERROR, "the store cannot be read yet", why=str(error))
        told = False
        while True:
            if self.ready and not told:
                told = True
                tell(logging.INFO, "ready", models=list(self.readers))
                self.when_ready()
            self.board.tell(self.numbers())
            await asyncio.sleep(POST_S)

    async def drain(self) -> None:
        """Take no more requests, and wait for those that were taken."""
        self.admission.open, self.admission.why = False, "draining"
        tell(logging.INFO, "draining", running=self.admission.running, waiting=self.admission.waiting)
        if not await self.admission.drained(self.config.drain_s):
            tell(logging.WARNING, "requests were given up", running=self.admission.running)

    async def stop(self) -> None:
        """Let go of everything."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self.admission.pool.shutdown()
        self.board.tell(self.numbers())
        for log in filter(None, self._logs.values()):
            with contextlib.suppress(StoreError):  # the disk refuses: what waits is lost
                log.close()
        self.near.close()

    # ---------------------------------------------------------------------------------------------- numbers

    def numbers(self) -> dict[str, Any]:
        """What this process counted."""
        self.metrics.set("easyrec_waiting", self.admission.waiting)
        self.metrics.set("easyrec_running", self.admission.running)
        self.metrics.set("easyrec_processes", 1)
        state = self.metrics.state()
        for kind, more in store_numbers.numbers({self.definitions.project: self.near}, self.readers.items()).items():
            state[kind] += more
        return {**state, "process": os.getpid()}

    def count(self, request: Request, endpoint: str, status: int, reason: str) -> None:
        """Count an answered request, and tell of it in the log where that was asked for."""
        note(self.metrics, self.config.log, request, endpoint, status, reason)

    # ---------------------------------------------------------------------------------------------- answers

    async def ask(
        self,
        request: Request,
        open_: Callable[[], Question],
        write: Callable[[Question, str, ReadColumns], T],
        size: int,
    ) -> T:
        """Answer a request.

        Args:
            request: It.
            open_: Makes the question.
            write: Makes the answer of the question, the model's name and what was read.
            size: Bytes of the question.

        Raises:
            Refused: It cannot be answered; says why.
        """
        self.admission.check()

        def work() -> T:
            begun = time.perf_counter()
            question = open_()
            request.model, reader = self._reader(question.model)
            parsed = time.perf_counter()
            found = _read(reader, question, 1000.0 * (request.deadline - parsed))
            read = time.perf_counter()
            answer = write(question, request.model, found)
            request.times |= {"parse": parsed - begun, "store": read - parsed, "write": time.perf_counter() - read}
            return answer

        kind = (request.path, size.bit_length())  # questions that are up to twice as large take about as long
        answer, waited = await self.admission.run(work, request.deadline, kind)
        request.times["queue"] = waited
        return answer

    def _reader(self, name: str) -> tuple[str, ModelReader]:
        if not name and len(self.readers) == 1:
            return next(iter(self.readers.items()))
        if not name:
            raise Refused(400, "model", f"which model? known: {', '.join(self.readers)}", column="model")
        if name not in self.readers:
            raise Refused(404, "unknown_model", f"no model '{name[:100]}'{nearest(name, list(self.readers))}")
        return name, self.readers[name]


def _read(reader: ModelReader, question: Question, left_ms: float) -> ReadColumns:
    """What a reader has; under a deadline, before the request's own."""
    wanted = reader.deadline_ms if question.deadline_ms is None else question.deadline_ms
    try:
        return reader.read(question.ids, deadline_ms=None if wanted is None else max(0.001, min(wanted, left_ms)))
    except DataError as error:
        raise Refused(400, "data", str(error), column=error.column, row=error.row) from None
    except StoreError as error:
        raise unread(error) from None
    except (ValueError, TypeError, OverflowError) as error:  # what Arrow says of ids of several types
        raise Refused(400, "data", f"ids cannot be read: {str(error).splitlines()[0][:300]}") from None
