"""`Evaluations`: questions that a knowledge base was asked, and what came of it, a file each."""

from __future__ import annotations

import json
import logging
import re
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from easyrec.durable import write_text
from easyrec.errors import ConfigError, DataError
from feature_generator.errors import FeatureGeneratorError
from rag.config import RagConfig
from rag.evaluation.comparing import compare
from rag.evaluation.evaluate import Evaluator, metrics_of
from rag.evaluation.questions import Question, whole
from rag.evaluation.results import Former
from rag.server.asked import Asked, kept, path_of, write
from rag.server.events import tell
from rag.server.refused import Refused
from rag.server.shelf import Shelf

NAME = re.compile(r"[0-9a-f]{32}")
KEPT = 100
"""Of a knowledge base; the oldest ones go."""
WAITING = 20
TRIES = 3
"""Times that a server may die while one is made: then it fails, as it may be what servers die of."""
SHORT = ".told"
"""Ends the name of the file that has what lists say of one."""


class Evaluations:
    """What was measured, and what is being; what waits when the server ends is measured by the next one. Any thread may use it.

    Args:
        folder: Where questions and results lie; made where it is not there.
        shelf: What is measured.
        spent: Is told who used how many tokens.
    """

    def __init__(self, folder: Path, shelf: Shelf, spent: Callable[[str, int], object]) -> None:
        self._folder, self._shelf, self._spent = folder, shelf, spent
        self._lock, self._ending = threading.Lock(), threading.Event()
        self._open: dict[str, dict[str, Any]] = {}
        self._running: Evaluator | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="evaluating")
        folder.mkdir(parents=True, exist_ok=True)

    def begin(
        self,
        base: str,
        name: str,
        user: str,
        settings: Mapping[str, Any],
        questions: Sequence[Question],
        metrics: Sequence[str],
        answers: bool,
    ) -> dict[str, Any]:
        """Let a knowledge base be asked, as soon as the ones before are done; it is on the disk when this returns.

        Args:
            base: Which.
            name: What the evaluation is called.
            user: Who wants it.
            settings: Sections that take the place of the knowledge base's.
            questions: What it is asked.
            metrics: What is measured; none: what the config says.
            answers: Whether the model is asked too.

        Raises:
            ConfigError: The settings cannot be; a metric is not known, or needs what is not there.
            Refused: Too many wait.
        """
        asked = Asked(
            id=uuid.uuid4().hex,
            base=base,
            name=name,
            user=user,
            created=time.time(),
            base_settings=self._shelf.settings.read(base),
            settings=dict(settings),
            metrics=list(metrics),
            answers=answers,
            questions=list(questions),
        )
        self._measured(asked)
        with self._lock:
            if len(self._open) >= WAITING:
                raise Refused(429, "busy", "too many evaluations wait: try again later", retry_after=60.0)
            write(self._folder, asked)
            return dict(self._wait(asked))

    def resume(self) -> None:
        """Go on with what a former server left undone."""
        for asked in kept(self._folder):
            path = path_of(self._folder, asked)
            if (
                asked.base not in self._shelf.bases or path.with_suffix(SHORT).exists()
            ):  # died just before it was removed
                path.unlink(missing_ok=True)
                continue
            with self._lock:
                self._wait(asked)

    def _wait(self, asked: Asked) -> dict[str, Any]:
        """Put one at the end of those that wait; who calls has the lock."""
        told = self._open[asked.id] = {
            "id": asked.id,
            "base": asked.base,
            "name": asked.name,
            "state": "waiting",
            "error": None,
            "progress": 0.0,
            "questions": len(asked.questions),
            "created": asked.created,
            "changed": time.time(),
        }
        self._pool.submit(self._run, told, asked)
        return told

    def _measured(self, asked: Asked) -> tuple[RagConfig, list[Any]]:
        """How a knowledge base is asked, and what is measured.

        Raises:
            ConfigError: The settings cannot be; a metric is not known, or needs what is not there.
        """
        config = self._shelf.settings.config(asked.base_settings)
        if asked.settings:
            config = self._shelf.settings.over(config, asked.settings)
        return config, metrics_of(config, asked.metrics, answers=asked.answers)

    def _run(self, told: dict[str, Any], asked: Asked) -> None:
        """Make one, in the thread."""
        report, state, wrong = None, "failed", ""
        try:
            with self._lock:
                if told["id"] not in self._open or self._ending.is_set():
                    return  # its knowledge base was removed, or the next server does it
                told["state"] = "running"
                if asked.ended >= TRIES:
                    raise DataError(f"the server died {asked.ended} times while this was measured")
                write(self._folder, asked.model_copy(update={"ended": asked.ended + 1}))  # until it comes to an end
            report = self._report(told, asked)
            state = "done"
        except (ConfigError, DataError) as error:
            wrong = str(error)[:2000]
        except FeatureGeneratorError as error:
            wrong = f"{type(error).__name__}: what it needs cannot be reached"
            tell(logging.WARNING, "an evaluation failed", error, evaluation=told["id"])
        except Exception as error:  # noqa: BLE001 (the edge of a thread)
            wrong = "an internal error; the server's log tells more"
            tell(logging.ERROR, "an evaluation failed", error, evaluation=told["id"])
        ended = {"state": state, "error": wrong or None, "progress": 1.0, "changed": time.time()}
        try:
            with self._lock:
                if told["id"] not in self._open:
                    return
                if self._ending.is_set() and state == "failed":  # it was cut off: the next server begins it anew
                    write(self._folder, asked)
                    return
                self._keep({**told, **ended}, report)
                path_of(self._folder, asked).unlink(missing_ok=True)
        except (FeatureGeneratorError, OSError) as error:
            tell(logging.ERROR, "an evaluation cannot be written", error, evaluation=told["id"])
        finally:
            with self._lock:
                self._open.pop(told["id"], None)

    def _report(self, told: dict[str, Any], asked: Asked) -> dict[str, Any]:
        """What came of it.

        Raises:
            EasyRecError: Nothing did.
        """
        config, metrics = self._measured(asked)
        done = 0

        def progress(_: str) -> None:
            nonlocal done
            if self._ending.is_set():
                raise DataError("the server ended")
            done += 1
            told["progress"] = min(done / (len(asked.questions) + len(metrics)), 1.0)

        with self._shelf.use(asked.base) as opened, Evaluator(config, base=opened.base) as evaluator:
            self._running = evaluator
            try:
                found = evaluator.evaluate(asked.questions, metrics, progress=progress)
            finally:
                self._running = None
                self._spent(asked.user, evaluator.rag.tools.tokens())
            if self._ending.is_set():  # the last calls may have been given up
                raise DataError("the server ended")
            return found.as_json()

    def _keep(self, told: dict[str, Any], report: dict[str, Any] | None) -> None:
        """Write one, and beside it what lists say of it; the oldest ones go."""
        folder = self._folder / told["base"]
        folder.mkdir(exist_ok=True)
        write_text(folder / f"{told['id']}.json", whole(json.dumps({**told, "report": report}, ensure_ascii=False)))
        short = {**told, "metrics": report["metrics"] if report is not None else []}
        write_text(folder / f"{told['id']}{SHORT}", whole(json.dumps(short, ensure_ascii=False)))
        for path in sorted(folder.glob(f"*{SHORT}"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
            path.with_suffix(".json").unlink(missing_ok=True)
            path.unlink(missing_ok=True)

    def of(self, base: str) -> list[dict[str, Any]]:
        """Those of a knowledge base, the latest one first, without what was asked."""
        with self._lock:
            found = {one["id"]: dict(one) for one in self._open.values() if one["base"] == base}
        for path in (self._folder / base).glob(f"*{SHORT}"):
            with suppress(OSError, ValueError):
                kept = json.loads(path.read_text(encoding="utf-8"))
                found.setdefault(kept["id"], kept)
        return sorted(found.values(), key=lambda one: one["created"], reverse=True)

    def one(self, base: str, name: str) -> dict[str, Any]:
        """One with all that came of it.

        Raises:
            Refused: There is none.
        """
        if NAME.fullmatch(name):
            with self._lock:
                if name in self._open and self._open[name]["base"] == base:
                    return {**self._open[name], "report": None}
            with suppress(OSError, ValueError):
                found: dict[str, Any] = json.loads((self._folder / base / f"{name}.json").read_text(encoding="utf-8"))
                return found
        raise Refused(404, "unknown_evaluation", "there is no such evaluation")

    def compared(self, base: str, first: str, second: str, config: RagConfig) -> list[dict[str, Any]]:
        """The second beside the first, on the questions of both.

        Raises:
            Refused: There is no such one, or it is not done.
        """
        values: list[Mapping[str, Mapping[str, float]]] = []
        for name in (first, second):
            report = self.one(base, name)["report"]
            if report is None:
                raise Refused(409, "state", "an evaluation that is not done cannot be compared")
            values.append(Former.model_validate(report).by_question())
        own = config.evaluation
        found = compare(*values, level=own.level, resamples=own.resamples, seed=own.seed)
        return [one.as_json() for one in found]

    def drop(self, base: str) -> None:
        """Remove those of a knowledge base; those that wait do not begin."""
        with self._lock:
            for name in [one["id"] for one in self._open.values() if one["base"] == base]:
                del self._open[name]
            shutil.rmtree(self._folder / base, ignore_errors=True)

    def close(self) -> None:
        """Begin nothing more, and cut off what runs: calls of models that are out are given up. The next server begins it anew."""
        self._ending.set()
        running = self._running
        if running is not None:
            running.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
