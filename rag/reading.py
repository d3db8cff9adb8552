"""`Reading`: reads files in processes of their own, some at a time, so that a bad one fails alone.

A process has a bound on its memory and a file one on its time; what is sent back is plain data that is looked at before it is
taken. Files are given back in the order in which they were asked for, so that the outcome is the same however many read.
"""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from typing_extensions import Self

from easyrec.errors import DataError, EngineError, MissingExtra
from feature_generator import plugins
from rag.chunkers import ChunkerConfig, Embed
from rag.config import ReadingConfig
from rag.cutting import Bounds, Cut, cut
from rag.document import Block, Figure
from rag.figures import digest_of, type_of
from rag.reader_process import BLOCKS, CHUNKS, Broken, read, write
from rag.readers import ReaderConfig

NOTHING = re.compile(rb"(?!)")
PLAIN = {"text": NOTHING, "jsonl": NOTHING, "markdown": re.compile(rb"!\[|<"), "csv": re.compile(rb"[\"']")}
"""Readers of plain texts, each with what makes more of a text: pictures, pages, or quotes that take their time."""
SMALL = 64 << 10
"""Bytes of a plain text that is read without another process."""
AHEAD = 2
"""Files, for each process, that are read before it is their turn."""
FILES = 500
"""That a process reads before another one takes its place."""
KEPT = re.compile(
    r"(?:PATH|HOME|TZ|TMPDIR|LANG|LC_\w+|LD_LIBRARY_PATH|DYLD_LIBRARY_PATH|SYSTEMROOT|VIRTUAL_ENV|EASYREC_DATA)$"
)
"""Variables that a process is given."""
GROWN = 8
"""Times as large as the text of a file what is sent of it may be."""
START_S = 300.0
"""That a process has until it can read."""
MOST = 4
"""Processes by default."""


@dataclass(frozen=True)
class Job:
    """A file that is to be read.

    Attributes:
        path: It.
        reader: Reads it.
        chunker: Cuts it.
    """

    path: Path
    reader: ReaderConfig
    chunker: ChunkerConfig


class Reading:
    """Reads files. One thread at a time asks.

    Args:
        limits: How much of a file is too much.
        embed: Vectors of texts, for chunkers that ask for them.
    """

    def __init__(self, limits: ReadingConfig, embed: Embed | None = None) -> None:
        self._limits, self._embed = limits, embed
        self._number = min(MOST, os.cpu_count() or 1) if limits.workers is None else limits.workers
        self._threads: ThreadPoolExecutor | None = None
        self._idle: queue.LifoQueue[_Process] = queue.LifoQueue()
        self._all: list[_Process] = []
        self._closed = False

    def all(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Cut | DataError]]:
        """Each file with what it became, in the order of the files."""
        waiting: deque[tuple[Job, Future[Cut] | None]] = deque()
        for job in jobs:
            waiting.append((job, None if self._at_home(job) else self._submitted(job)))
            if len(waiting) > AHEAD * self._number:
                yield self._next(waiting)
        while waiting:
            yield self._next(waiting)

    def _submitted(self, job: Job) -> Future[Cut]:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._number, thread_name_prefix="rag-reading")
        return self._threads.submit(self._elsewhere, job)

    def one(self, job: Job) -> Cut:
        """What one file became.

        Raises:
            DataError: It cannot be read, or is too much.
        """
        ((_, found),) = self.all([job])
        if isinstance(found, DataError):
            raise found
        return found

    def _at_home(self, job: Job) -> bool:
        """Whether a file needs no other process."""
        kind = getattr(job.reader, "type", "")
        if self._limits.workers is not None or kind not in PLAIN or job.chunker.embeds:
            return not self._number
        try:
            if job.path.stat().st_size > SMALL:
                return False
            return not PLAIN[kind].search(job.path.read_bytes())
        except OSError:
            return True  # it says so itself

    def _tried(self, job: Job) -> Cut | DataError:
        try:
            return cut(job.path, job.reader, job.chunker, self._limits, self._embed)
        except DataError as error:
            return error
        except MissingExtra as error:
            return DataError(f"{job.path}: {error}")
        except RecursionError:
            return DataError(f"{job.path}: is nested too deeply")

    def _next(self, waiting: deque[tuple[Job, Future[Cut] | None]]) -> tuple[Job, Cut | DataError]:
        job, future = waiting.popleft()
        if future is None:
            return job, self._tried(job)
        try:
            return job, future.result()
        except DataError as error:
            return job, error

    def _elsewhere(self, job: Job) -> Cut:
        """Let a process read a file."""
        try:
            process = self._idle.get_nowait()
        except queue.Empty:
            process = _Process()
            self._all.append(process)
        try:
            found = process.cut(job, self._limits, self._embed)
        except _Gone as gone:
            raise DataError(str(gone)) from None
        finally:
            if self._closed or process.files >= FILES:
                process.close()
            if process.alive:
                self._idle.put(process)
            else:
                self._all.remove(process)
        return found

    def close(self) -> None:
        """End the processes, also those that read."""
        self._closed = True
        for process in list(self._all):
            process.close()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Gone(Exception):  # noqa: N818 (it says what the process is)
    """A process ended while it read a file."""


class _Process:
    """A process that reads files, one after the other."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self.files = 0

    @property
    def alive(self) -> bool:
        """Whether it may be asked again."""
        return self._process is not None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            own = str(Path(__file__).resolve().parent.parent)
            known = os.pathsep.join(dict.fromkeys([own, *(path for path in sys.path if path)]))
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rag.reader_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # Whatever a file makes of this process, the secrets of the other one are not in it.
                env={name: value for name, value in os.environ.items() if KEPT.match(name)}
                | {"PYTHONPATH": known, "OMP_NUM_THREADS": "1"},
            )
            watch = threading.Timer(START_S, self._process.kill)
            watch.daemon = True
            watch.start()
            try:
                assert self._process.stdout is not None
                read(self._process.stdout)  # it is there, and from now on the time counts
            except Broken:
                self.close()
                raise EngineError(
                    "a process that reads files cannot be started: try `knowledge.reading.workers: 0`"
                ) from None
            finally:
                watch.cancel()
        return self._process

    def cut(self, job: Job, limits: ReadingConfig, embed: Embed | None) -> Cut:
        """What a file becomes.

        Raises:
            DataError: It cannot be read, or is too much.
            _Gone: The process ended over it.
        """
        process = self._started()
        self.files += 1
        assert process.stdin is not None
        assert process.stdout is not None
        told = {
            "path": str(job.path.absolute()),
            "reader": job.reader.model_dump(mode="json"),
            "chunker": None if job.chunker.embeds else job.chunker.model_dump(mode="json"),
            "limits": limits.model_dump(mode="json"),
            "plugins": [*plugins.packages, *(str(file.path) for file in plugins.files.values())],
        }
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        watch = threading.Timer(limits.seconds, stop)
        watch.daemon = True
        watch.start()
        received = _Received(job, limits)
        try:
            write(process.stdin, "J", json.dumps(told).encode())
            return received.all(process.stdout, embed)
        except (Broken, OSError, ValidationError, ValueError, KeyError, TypeError) as error:
            reason = self._reason(process, limits, late.is_set(), error)
            raise _Gone(f"{job.path}: {reason}") from None
        finally:
            watch.cancel()
            if not received.done or process.poll() is not None:
                self.close()  # what else it would send belongs to this file

    def _reason(self, process: subprocess.Popen[bytes], limits: ReadingConfig, late: bool, error: Exception) -> str:
        """Why it is gone."""
        if not isinstance(error, Broken | OSError):
            self.close()
            return "its reader sent what is not to be taken"
        try:
            code = process.wait(5)
        except subprocess.TimeoutExpired:
            code = None
        self.close()
        if late:
            return f"was not read in {limits.seconds:g} seconds (knowledge.reading.seconds)"
        told = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return f"its reader ended ({told}); it may be damaged, or need more than {limits.memory_mb} MB of memory"

    def close(self) -> None:
        """End it."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


class _Received:
    """What a process sends of a file, looked at.

    Args:
        job: The file.
        limits: What is too much.
    """

    def __init__(self, job: Job, limits: ReadingConfig) -> None:
        self._job, self._limits = job, limits
        self._cut = Cut()
        self.done = False
        """Whether all that is sent of the file was received."""

    def all(self, file: Any, embed: Embed | None) -> Cut:
        """The file."""
        bounds = Bounds(self._job.path, self._limits)
        if self._job.chunker.embeds:
            self._cut.chunks = list(bounds.chunks(self._job.chunker.cut(self._blocks(file), embed)))
            for _ in self._blocks(file):  # a chunker need not have waited for the end
                pass
        else:
            for content in self._frames(file, "C"):
                self._cut.chunks += CHUNKS.validate_json(content)
                if len(self._cut.chunks) > self._limits.max_chunks:
                    raise ValueError("too many chunks")
        return self._cut

    def _blocks(self, file: Any) -> Iterator[Block]:
        for content in self._frames(file, "B"):
            for kind, fields in json.loads(content):
                picture = fields.pop("picture", None)
                block = BLOCKS[kind].validate_python(fields)
                if isinstance(block, Figure) and picture in self._cut.pictures:
                    block = replace(block, content=self._cut.pictures[picture])
                yield block

    def _frames(self, file: Any, wanted: str) -> Iterator[bytes]:
        """The frames of a kind, up to the end of the file; pictures are kept."""
        room, text = self._limits.pictures_mb << 20, GROWN * self._limits.max_text_mb << 20
        while not self.done:
            kind, content = read(file)
            if kind == wanted:
                text -= len(content)
                if text < 0:
                    raise ValueError("too much")
                yield content
            elif kind == "P":
                room -= len(content)
                if room < 0 or type_of(content) is None:
                    raise ValueError("no picture")
                self._cut.pictures[digest_of(content)] = content
            elif kind == "D":
                told = json.loads(content)
                self._cut.seconds = {str(stage): float(seconds) for stage, seconds in told["seconds"].items()}
                self._cut.counts = {str(what): int(times) for what, times in told["counts"].items()}
                self.done = True
            elif kind == "E":
                told = json.loads(content)
                self.done = told["kind"] != "gone"
                raise DataError(self._text_of(told))
            else:
                raise ValueError("no frame")

    def _text_of(self, told: dict[str, Any]) -> str:
        """What a process says went wrong, with the file as it was named."""
        text = str(told["text"]).replace(str(self._job.path.absolute()), str(self._job.path))
        return text if str(self._job.path) in text else f"{self._job.path}: {text}"
