"""The steps, done again and again in a process of their own: `join`, which reads logs, and `model`, which does the rest."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from easyrec.errors import DataError, RunError
from easyrec.loop import window
from easyrec.loop.config import LoopConfig
from easyrec.loop.joining import LogJoiner
from easyrec.loop.versions import Versions, held, write_manifest

logger = logging.getLogger("easyrec.loop")

STEPS = ("join", "train", "gate", "publish", "tables", "vectors")
"""What `easyrec loop step` does."""
RECYCLED = 500
"""Versions after which the process of a model makes room for a new one: what a long life leaves in memory goes with it."""
BUSY = 0.5
"""Share of a batch from which on more is read at once."""


def join(loop: LoopConfig, *, until_end: bool, stop: Callable[[], bool] = lambda: False) -> int:
    """Read the logs into samples; gives how many samples were made, of all runs.

    Raises:
        ConfigError: There are no logs to read.
        RunError: Another process does so.
    """
    if loop.join is None:
        raise RunError("the loop has no logs: its samples are made by another one")
    with held(loop.folder / "join.lock", "joining"):
        joiner = _opened(loop, until_end, stop)
        if joiner is None:
            return 0
        try:
            while not stop() and not joiner.joining.ended:
                read = joiner.step()
                if not until_end and read < BUSY * loop.join.batch_rows:
                    _sleep(loop.join.every, stop)
            joiner.tell()
            return joiner.joining.counts["samples"]
        finally:
            joiner.close()


def _opened(loop: LoopConfig, until_end: bool, stop: Callable[[], bool]) -> LogJoiner | None:
    """The joiner, once there is a log; None where there is none and it is not waited for."""
    told = False
    while not stop():
        try:
            return LogJoiner(loop, until_end=until_end)
        except DataError as error:  # noqa: PERF203 (a wait is what it is for)
            if until_end:
                logger.info("%s", error)
                return None
            if not told:
                logger.info("%s: waiting", error)
            told = True
            _sleep(loop.poll, stop)
    return None


class ModelWorker:
    """Trains, measures and publishes versions, one after another.

    Args:
        loop: The loop.
        plugins: Files and packages with more models, features, ...
    """

    def __init__(self, loop: LoopConfig, plugins: list[str] | None = None) -> None:
        from easyrec.loop.learning import Learner  # noqa: PLC0415 (torch: the other process does without)
        from easyrec.loop.publishing import Publisher  # noqa: PLC0415 (the same)
        from easyrec.loop.tables import Tables  # noqa: PLC0415 (the same)
        from easyrec.loop.vectors import Vectors  # noqa: PLC0415 (the same)

        self.loop, self.versions = loop, Versions(loop.folder)
        self.learner, self.publisher = Learner(loop, self.versions, plugins), Publisher(loop, self.versions)
        self.tables = Tables(loop, list(plugins or ()))
        self.vectors = None if loop.vectors is None else Vectors(loop, self.learner, self.publisher)

    def run(self, stop: Callable[[], bool]) -> None:
        """Do what is to be done until it is asked to stop."""
        with held(self.loop.folder / "model.lock", "training"):
            self.begin()
            first = self.versions.newest or 0
            while not stop() and (self.versions.newest or 0) - first < RECYCLED:
                if not self.once():
                    _sleep(self.loop.poll, stop)

    def begin(self) -> None:
        """Take the run that the loop starts from, and mend what a stop left."""
        self.learner.start()
        begun = self.versions.begun
        if begun is None or not self.versions.passed(begun):  # else it may be there in part, and is published next
            self.publisher.settle()

    def once(self) -> bool:
        """Do the next step, if there is one; says whether there was."""
        done = self.advance()
        done |= self.tables.refresh()
        if self.vectors is not None:
            done |= self.vectors.refresh()
        self.heard()
        return done

    def advance(self, last: str = "publish") -> bool:
        """Make a version, or go on with the one that was begun; says whether anything was done.

        Args:
            last: The step after which to end: `train`, `gate` or `publish`.
        """
        number = self.versions.begun
        number = self.learner.plan() if number is None else number
        if number is None:
            return False
        self.learner.train(number)
        if last == "train" or self.versions.is_rolled_back(number):
            return True
        if not self.learner.gate(number) or last == "gate":
            self.versions.forget(self.loop.keep)
            return True
        if self.vectors is not None:
            self.vectors.embed(number)
        if self.publisher.publish(number):
            self.learner.published(number)
            told = self.versions.read(number, "gate") or {}
            value = told.get("value")
            shown = "" if value is None else f", {self.loop.gate.metric} {value:.5f}"
            logger.info("version %d is served%s", number, shown)
        self.versions.forget(self.loop.keep)
        window.forget(self.loop, self.versions)
        return True

    def heard(self) -> None:
        """Say that it is alive."""
        write_manifest(self.loop.folder / "model.json", {"at": time.time()})


def step(loop: LoopConfig, name: str, plugins: list[str] | None = None) -> str:
    """Do one step as far as it can be done now; gives what was done, in words.

    Raises:
        RunError: Another process does it, or the loop runs.
    """
    if name == "join":
        made = join(loop, until_end=True)
        return f"{made:,} samples so far, in {loop.samples}"
    with held(loop.folder / "model.lock", "training"):
        worker = ModelWorker(loop, plugins)
        worker.begin()
        if name == "tables":
            return "tables were counted anew" if worker.tables.refresh() else "no table is due"
        if name == "vectors":
            if worker.vectors is None:
                raise RunError("the loop embeds no items: it has no 'vectors'")
            return "items were embedded anew" if worker.vectors.refresh() else "the items are those that were embedded"
        before = worker.versions.newest
        done = worker.advance(name)
        number = worker.versions.newest
        if not done:
            return f"there is nothing to {name}: too few samples that are new"
        return _said(worker.versions, number if number is not None else before)


def _said(versions: Versions, number: int | None) -> str:
    assert number is not None
    gate = versions.read(number, "gate")
    if versions.read(number, "publish") is not None:
        return f"version {number} is served"
    if gate is not None:
        return f"version {number} passed the gate" if gate["passed"] else f"version {number} is refused: {gate['why']}"
    return f"version {number} is trained"


def _sleep(seconds: float, stop: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while not stop() and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))


def state_of(loop: LoopConfig) -> Path:
    """The folder of the loop's state, made where it is not there."""
    loop.folder.mkdir(parents=True, exist_ok=True)
    return loop.folder
