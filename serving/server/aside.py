"""What is done after the answer, for a share of the requests: shadow versions, the request log, and drift."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from easyrec.errors import DataError
from serving.server.by_key import with_columns
from serving.server.columns import Question, Scores, ask
from serving.server.config import ServerConfig
from serving.server.drift import Drift
from serving.server.events import tell
from serving.server.http import Refused
from serving.server.metrics import Board, Metrics
from serving.server.models import Loaded, Model, Models, Version
from serving.server.request_log import RequestLogWriter

MOST_WAITING = 32
"""Beyond these, what comes is left out and counted: no answer waits for it."""


class Aside:
    """A thread for what no client waits for.

    Args:
        config: The server's.
        metrics: What counts.
    """

    def __init__(self, config: ServerConfig, metrics: Metrics) -> None:
        self._metrics = metrics
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="after")
        self._room = threading.Semaphore(MOST_WAITING)
        self._sample = config.request_log.sample if config.request_log is not None else 0.0
        self._log = RequestLogWriter(config.request_log) if config.request_log is not None else None
        self._watched = config.drift.sample if config.drift is not None else 0.0
        self.drift = Drift(config.drift, metrics) if config.drift is not None else None

    def answered(self, model: Model, loaded: Loaded, question: Question, scores: Scores) -> None:
        """Take note of an answer."""
        for shadow in model.shadows:
            if random.random() < (shadow.config.shadow or 0.0):  # noqa: S311 (a share, no secret)
                work = self._compared(model, shadow, question, scores)
                if not self._submit(work):
                    self._count_shadow(model, shadow, "skipped")
        if self._watched and random.random() < self._watched:  # noqa: S311
            self._submit(self._drifted(model, loaded, question, scores))
        if self._log is not None and question.user_form and random.random() < self._sample:  # noqa: S311
            try:  # now, as what a catalogue holds of an item may be another thing later
                asked = with_columns(loaded, question)
            except DataError:
                asked = None
            if asked is None or not self._submit(self._kept(model, loaded, asked, scores)):
                self._metrics.add("easyrec_request_log_total", result="dropped")

    def tidy(self) -> None:
        """Let what is old in the request log go."""
        if self._log is not None:
            self._submit(self._log.expire)

    def judge(self, models: Models, board: Board) -> None:
        """Compare what all processes counted with training."""
        drift = self.drift
        if drift is not None:
            self._submit(lambda: drift.judge(models, board.others()))

    def check(self, models: Models) -> None:
        """Tell of names in the request log's config that no bundle reads, once all bundles are there."""
        if self._log is None:
            return
        loaded = [v.current for model in models for v in model.versions if v.current is not None]
        unknown = self._log.personal.unknown(loaded)
        if unknown:
            tell(
                logging.WARNING, "no bundle reads these columns, which the request log is to leave out", columns=unknown
            )

    def close(self) -> None:
        """Finish what was begun."""
        self._pool.shutdown()
        if self._log is not None:
            self._log.close()

    def _submit(self, work: Callable[[], None]) -> bool:
        if not self._room.acquire(blocking=False):
            return False

        def run() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 (the process edge: nobody waits for it)
                tell(logging.ERROR, "what follows an answer failed", error)
            finally:
                self._room.release()

        self._pool.submit(run)
        return True

    # ---------------------------------------------------------------------------------------------- shadows

    def _compared(self, model: Model, shadow: Version, question: Question, scores: Scores) -> Callable[[], None]:
        def work() -> None:
            try:
                with shadow.leased() as other:
                    found = ask(other, question)
            except Refused:
                self._count_shadow(model, shadow, "refused")
                return
            self._count_shadow(model, shadow, "scored")
            for task in scores.keys() & found.keys():
                same = scores[task].shape == found[task].shape
                differing = float(np.max(np.abs(scores[task] - found[task]), initial=0.0)) if same else np.inf
                labels = {"model": model.name, "version": other.version, "task": task}
                self._metrics.observe("easyrec_shadow_difference", differing, **labels)

        return work

    def _count_shadow(self, model: Model, shadow: Version, result: str) -> None:
        name = shadow.current.version if shadow.current is not None else ""
        self._metrics.add("easyrec_shadow_total", model=model.name, version=name, result=result)

    # ------------------------------------------------------------------------------------------ request log

    def _kept(self, model: Model, loaded: Loaded, question: Question, scores: Scores) -> Callable[[], None]:
        def work() -> None:
            assert self._log is not None
            with loaded.leased() as alive:
                written = alive and self._log.write(model, loaded, question, scores)
            self._metrics.add("easyrec_request_log_total", result="written" if written else "dropped")

        return work

    # ---------------------------------------------------------------------------------------------- drift

    def _drifted(self, model: Model, loaded: Loaded, question: Question, scores: Scores) -> Callable[[], None]:
        def work() -> None:
            assert self.drift is not None
            with loaded.leased() as alive:
                if alive:
                    self.drift.add(model, loaded, question, scores)

        return work
