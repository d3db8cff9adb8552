"""`Ingesting`: threads that take in the files that came, one of each knowledge base at a time."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from easyrec.errors import ConfigError, DataError, FeatureGeneratorError
from easyrec.prometheus import Metrics
from rag.knowledge import KnowledgeBase
from rag.server.events import tell
from rag.server.files import Files
from rag.server.refused import Refused
from rag.server.shelf import Shelf
from rag.server.tasks import Task, Tasks

LOOK_S = 1.0
"""How often it is looked whether something waits that nobody has told of."""
AGAIN_S = 5.0
"""Before a task is tried again that failed by no fault of its file."""
TRIES = 5


class Ingesting:
    """Takes in what waits.

    Args:
        tasks: What is to be taken in.
        shelf: Where to.
        files: The files.
        metrics: What is counted.
        workers: Threads.
    """

    def __init__(self, tasks: Tasks, shelf: Shelf, files: Files, metrics: Metrics, workers: int) -> None:
        self._tasks, self._shelf, self._files, self._metrics = tasks, shelf, files, metrics
        self._ending, self._some = threading.Event(), threading.Event()
        self._tries: dict[int, int] = {}
        self._threads = [threading.Thread(target=self._run, name=f"ingesting {n}", daemon=True) for n in range(workers)]

    def start(self) -> None:
        """Begin, with what a former server left undone."""
        resumed = self._tasks.resume()
        if resumed:
            tell(logging.INFO, "tasks go on", tasks=resumed)
        self._files.sweep(self._tasks.all_files())
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Something waits."""
        self._some.set()

    def stop(self, seconds: float) -> None:
        """End; a task that takes longer is done again after the next start."""
        self._ending.set()
        self._some.set()
        end = time.monotonic() + seconds
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, end - time.monotonic()))

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                task = self._tasks.take()
            except FeatureGeneratorError as error:
                tell(logging.ERROR, "tasks cannot be read", error)
                task = None
            if task is None:
                self._some.wait(LOOK_S)
                self._some.clear()
                continue
            try:
                self._take_in(task)
            except Exception as error:  # noqa: BLE001 (the edge of a thread: the next file is to be taken in)
                tell(logging.ERROR, "a task failed", error, task=task.id)
                with suppress(FeatureGeneratorError):
                    self._finish(task, {}, "an internal error; the server's log tells more")

    def _take_in(self, task: Task) -> None:
        path = self._files.path(task.file)
        begun = time.perf_counter()
        self._tasks.note(task.id, "read", 0.0)
        try:
            with self._shelf.use(task.base) as opened, opened.writing:
                owner = opened.base.records.document(task.source)
                if owner is not None and not owner.visible(task.sees):
                    raise DataError(f"'{task.source}' is the name of a document that is kept for others")
                report = opened.base.add([path], task.facts or None, under=self._files.under(task.file))
        except (DataError, ConfigError, Refused) as error:  # the file's own fault
            self._finish(task, {}, _called(str(error), path, task.source))
        except FeatureGeneratorError as error:
            self._try_again(task, error)
        else:
            wrong = _called(next(iter(report.failed.values()), ""), path, task.source)
            told = asdict(report)
            told = {key: told[key] for key in ("chunks", "embedded", "seconds", "counts")}
            told["lost"] = report.lost.get(task.source, [])
            told["outcome"] = "updated" if report.updated else "unchanged" if report.unchanged else "added"
            self._finish(task, {} if wrong else told, wrong)
            self._metrics.add("easyrec_rag_chunks_total", report.chunks)
            seconds = round(time.perf_counter() - begun, 3)
            tell(logging.INFO, "a task is done", task=task.id, base=task.base, failed=bool(wrong), seconds=seconds)

    def _try_again(self, task: Task, error: FeatureGeneratorError) -> None:
        """A model or a store cannot be reached: that is not the file's fault."""
        tries = self._tries[task.id] = self._tries.get(task.id, 0) + 1
        if tries >= TRIES:
            self._finish(task, {}, f"tried {tries} times: {type(error).__name__}: what it needs cannot be reached")
            return
        tell(logging.WARNING, "a task will be tried again", error, task=task.id, tries=tries)
        self._tasks.note(task.id, "waits to be tried again", 0.0)
        self._ending.wait(AGAIN_S * tries)
        self._tasks.move(task.id, "waiting", ("running",))

    def _finish(self, task: Task, report: dict[str, Any], error: str) -> None:
        self._tries.pop(task.id, None)
        for file in self._tasks.finish(task, report, error):
            self._files.drop(file)
        self._metrics.add("easyrec_rag_tasks_total", state="failed" if error else "done")


def _called(text: str, path: Path, source: str) -> str:
    """What is said of a file, by its document's name: where it lies is nobody's business."""
    return text.replace(str(path.absolute()), source).replace(str(path), source)


def preview(base: KnowledgeBase, path: Path, most: int) -> tuple[list[dict[str, Any]], int]:
    """The first chunks that a file would have, and how many there would be.

    Raises:
        DataError: It cannot be read.
    """
    chunks = base.preview(path)
    return [{"number": n, **shown_chunk(chunk)} for n, chunk in enumerate(chunks[:most])], len(chunks)


def shown_chunk(chunk: Any) -> dict[str, Any]:
    """A chunk as clients see it."""
    return {
        "text": chunk.text,
        "headings": list(chunk.path),
        "kind": chunk.kind,
        "context": chunk.context,
        "figure": chunk.figure is not None,
        "places": [{"page": p.page, "box": p.box, "line": p.line} for p in chunk.places],
    }
