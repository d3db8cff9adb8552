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
from rag.server.events import tell
from rag.server.refused import Refused
from rag.server.shelf import Shelf

NAME = re.compile(r"[0-9a-f]{32}")
KEPT = 100
"""Of a knowledge base; the oldest ones go."""
WAITING = 20
SHORT = ".told"
"""Ends the name of the file that has what lists say of one."""


class Evaluations:
    """What was measured, and what is being. Any thread may use it.

    Args:
        folder: Where results lie; made where it is not there.
        shelf: What is measured.
    """

    def __init__(self, folder: Path, shelf: Shelf) -> None:
        self._folder, self._shelf = folder, shelf
        self._lock, self._ending = threading.Lock(), threading.Event()
        self._open: dict[str, dict[str, Any]] = {}
        self._running: Evaluator | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="evaluating")
        folder.mkdir(parents=True, exist_ok=True)

    def begin(
        self,
        base: str,
        name: str,
        config: RagConfig,
        questions: Sequence[Question],
        metrics: Sequence[str],
        answers: bool,
        spent: Callable[[int], object],
    ) -> dict[str, Any]:
        """Let a knowledge base be asked, as soon as the ones before are done.

        Args:
            base: Which.
            name: What the evaluation is called.
            config: How it is searched and answers.
            questions: What it is asked.
            metrics: What is measured; none: what the config says.
            answers: Whether the model is asked too.
            spent: Is told how many tokens that took.

        Raises:
            ConfigError: A metric is not known, or needs what is not there.
            Refused: Too many wait.
        """
        chosen = metrics_of(config, metrics, answers=answers)
        now = time.time()
        told: dict[str, Any] = {
            "id": uuid.uuid4().hex,
            "base": base,
            "name": name,
            "state": "waiting",
            "error": None,
            "progress": 0.0,
        }
        told |= {"questions": len(questions), "created": now, "changed": now}
        with self._lock:
            if len(self._open) >= WAITING:
                raise Refused(429, "busy", "too many evaluations wait: try again later", retry_after=60.0)
            self._open[told["id"]] = told
        self._pool.submit(self._run, told, config, list(questions), chosen, spent)
        return dict(told)

    def _run(
        self,
        told: dict[str, Any],
        config: RagConfig,
        questions: list[Question],
        metrics: list[Any],
        spent: Callable[[int], object],
    ) -> None:
        done, report, state, wrong = 0, None, "failed", ""
        with self._lock:
            if told["id"] not in self._open:  # its knowledge base was removed
                return

        def progress(_: str) -> None:
            nonlocal done
            if self._ending.is_set():
                raise DataError("the server ended")
            done += 1
            told["progress"] = min(done / (len(questions) + len(metrics)), 1.0)

        try:
            told["state"] = "running"
            with self._shelf.use(told["base"]) as opened, Evaluator(config, base=opened.base) as evaluator:
                self._running = evaluator
                found = evaluator.evaluate(questions, metrics, progress=progress)
            report = found.as_json()
            spent(int(sum(took["input"] + took["output"] for took in found.usage.values())))
            state = "done"
        except (ConfigError, DataError) as error:
            wrong = str(error)[:2000]
        except FeatureGeneratorError as error:
            wrong = f"{type(error).__name__}: what it needs cannot be reached"
            tell(logging.WARNING, "an evaluation failed", error, evaluation=told["id"])
        except Exception as error:  # noqa: BLE001 (the edge of a thread)
            wrong = "an internal error; the server's log tells more"
            tell(logging.ERROR, "an evaluation failed", error, evaluation=told["id"])
        self._running = None
        ended = {"state": state, "error": wrong or None, "progress": 1.0, "changed": time.time()}
        try:
            self._keep({**told, **ended}, report)
        except (FeatureGeneratorError, OSError) as error:
            tell(logging.ERROR, "an evaluation cannot be written", error, evaluation=told["id"])
        with self._lock:
            self._open.pop(told["id"], None)

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
        """Begin nothing more, and end what runs: calls of models that are out are given up."""
        self._ending.set()
        running = self._running
        if running is not None:
            running.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
