"""`Ingesting`: threads that take in the files that came, one of each knowledge base at a time."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from easyrec.errors import ConfigError, DataError
from easyrec.prometheus import Metrics
from feature_generator.errors import FeatureGeneratorError
from rag.knowledge import KnowledgeBase
from rag.report import Report
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
                tasks = self._tasks.take()
            except FeatureGeneratorError as error:
                tell(logging.ERROR, "tasks cannot be read", error)
                tasks = []
            if not tasks:
                self._some.wait(LOOK_S)
                self._some.clear()
                continue
            try:
                self._take_in(tasks)
            except Exception as error:  # noqa: BLE001 (the edge of a thread: the next file is to be taken in)
                tell(logging.ERROR, "tasks failed", error, tasks=[task.id for task in tasks])
                with suppress(FeatureGeneratorError):
                    for task in tasks:
                        self._finish(task, {}, "an internal error; the server's log tells more")

    def _take_in(self, tasks: list[Task]) -> None:
        """Take in files of one upload."""
        begun, first = time.perf_counter(), tasks[0]
        numbers = {task.source: task.id for task in tasks}
        try:
            with self._shelf.use(first.base) as opened, opened.writing:
                tasks = [task for task in tasks if not self._is_others(opened.base, task)]
                paths = [self._files.path(task.file) for task in tasks]
                report = opened.base.add(
                    paths,
                    first.facts or None,
                    under=self._files.under(first.file),
                    progress=lambda source: self._tasks.note(numbers[source], "written", 1.0),
                )
                counts = {task.source: opened.base.records.document(task.source) for task in tasks}
        except (DataError, ConfigError, Refused) as error:  # their own fault
            for task in tasks:
                self._finish(task, {}, _called(str(error), self._files.path(task.file), task.source))
        except FeatureGeneratorError as error:
            self._try_again(tasks, error)
        else:
            for task in tasks:
                found = counts[task.source]
                told = {"outcome": _outcome(report, task.source), "chunks": found.chunks if found is not None else 0}
                told["lost"] = report.lost.get(task.source, [])
                wrong = _called(report.failed.get(task.source, ""), self._files.path(task.file), task.source)
                self._finish(task, {} if wrong else told, wrong)
            self._metrics.add("easyrec_rag_chunks_total", report.chunks)
            took = {name: round(seconds, 3) for name, seconds in report.seconds.items()}
            seconds = round(time.perf_counter() - begun, 3)
            done: dict[str, Any] = {"tasks": list(numbers.values()), "base": first.base, "failed": len(report.failed)}
            tell(logging.INFO, "tasks are done", **done, embedded=report.embedded, seconds=seconds, stages=took)

    def _is_others(self, base: KnowledgeBase, task: Task) -> bool:
        """Whether a task would replace a document that who sent it does not see; then it is done."""
        owner = base.records.document(task.source)
        if owner is None or owner.visible(task.sees):
            return False
        self._finish(task, {}, f"'{task.source}' is the name of a document that is kept for others")
        return True

    def _try_again(self, tasks: list[Task], error: FeatureGeneratorError) -> None:
        """A model or a store cannot be reached: that is not the files' fault."""
        waiting = []
        for task in tasks:
            tries = self._tries[task.id] = self._tries.get(task.id, 0) + 1
            if tries >= TRIES:
                kind = type(error).__name__
                self._finish(task, {}, f"tried {tries} times: {kind}: what it needs cannot be reached")
            else:
                self._tasks.note(task.id, "waits to be tried again", 0.0)
                waiting.append(task)
        if waiting:
            tries = self._tries[waiting[0].id]
            tell(logging.WARNING, "tasks will be tried again", error, tasks=[t.id for t in waiting], tries=tries)
            self._ending.wait(AGAIN_S * tries)
            for task in waiting:
                self._tasks.move(task.id, "waiting", ("running",))

    def _finish(self, task: Task, report: dict[str, Any], error: str) -> None:
        self._tries.pop(task.id, None)
        for file in self._tasks.finish(task, report, error):
            self._files.drop(file)
        self._metrics.add("easyrec_rag_tasks_total", state="failed" if error else "done")


def _outcome(report: Report, source: str) -> str:
    return "updated" if source in report.updated else "unchanged" if source in report.unchanged else "added"


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
