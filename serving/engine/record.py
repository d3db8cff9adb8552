"""`Record`: lists and events as lines of JSON, in files that are shown once they are whole.

exposures-20260101T120000.000000-<process>-<n>.jsonl   a line for each item that was shown
events-20260101T120000.000000-<process>-<n>.jsonl      a line for each event, as it was posted
.exposures-<process>-<n>.writing                       a file that is being written; it is shown when its process has died

Names begin with the time at which a file was finished, so that what is shown later stands behind what was shown before.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

import orjson
import pyarrow as pa

from serving.engine.config import RecordConfig
from serving.engine.listed import Listed
from serving.server.events import tell
from serving.server.metrics import Metrics

MOST_WAITING = 10_000
"""Lists and batches of events that wait to be written; beyond these, what comes is left out and counted."""
LOOK_S = 0.25
TIDY_S = 60.0
"""How often it is looked for what others left, and for what is too old."""
KINDS = ("exposures", "events")


class _File:
    """A file that is being written."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder, self.kind, self.since, self.lines = folder, kind, time.monotonic(), 0
        self.path = folder / f".{kind}-{os.getpid()}-{uuid.uuid4().hex[:8]}.writing"
        self._file = self._open()

    def _open(self) -> IO[bytes]:
        """Open it with a lock, which says that somebody lives who writes it; a number of a process may come again."""
        while True:
            file = self.path.open("ab", buffering=0)
            fcntl.flock(file, fcntl.LOCK_EX)
            if self.path.exists():
                return file
            file.close()  # who looked for what others left was faster than the lock

    def write(self, lines: list[bytes]) -> None:
        """Write lines, whole or not at all as far as a process that is killed goes.

        Raises:
            OSError: The disk takes no more; what it took of a line goes when the file is shown.
        """
        data = memoryview(b"".join(lines))
        while data:  # a disk that becomes full takes a part
            data = data[self._file.write(data) :]
        self.lines += len(lines)

    def show(self) -> None:
        """Let others read it."""
        try:
            show(self.path)
        finally:
            self._file.close()


def show_left(path: Path) -> int:
    """Show a file if nobody writes it any more; gives how many lines it has.

    Raises:
        OSError: Another process was faster, or the disk refuses.
    """
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        if not path.exists():
            return 0
        lines = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
        show(path)
        return lines


def show(path: Path) -> None:
    """Give a file its final name, without what stands behind its last whole line."""
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        cut = size
        while cut:
            start = max(0, cut - 65_536)
            file.seek(start)
            end = file.read(cut - start).rfind(b"\n")
            if end >= 0:
                cut = start + end + 1
                break
            cut = start
        if cut < size:
            file.truncate(cut)
    if not cut:
        path.unlink()
        return
    _, kind, process, number = path.name.removesuffix(".writing").replace(".", "-", 1).split("-")
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%f")
    path.rename(path.with_name(f"{kind}-{stamp}-{process}-{number}.jsonl"))


class Record:
    """Writes in a thread of its own.

    Args:
        config: Where, and how long a file is.
        metrics: What counts.
    """

    def __init__(self, config: RecordConfig, metrics: Metrics) -> None:
        self.config, self._metrics = config, metrics
        self.folder = Path(config.path)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._queue: queue.Queue[tuple[str, Callable[[], list[bytes]]] | None] = queue.Queue(MOST_WAITING)
        self._open: dict[str, _File] = {}
        self._tidied = time.monotonic()
        self.recover()
        self._thread = threading.Thread(target=self._run, name="record", daemon=True)
        self._thread.start()

    def recover(self) -> None:
        """Show the files of processes that have died, and those that could not be shown."""
        own = {file.path for file in self._open.values()}
        for path in self.folder.glob(".*.writing"):
            kind, *rest = path.name[1:].split("-")
            if len(rest) == 2 and rest[0].isdigit() and kind in KINDS and path not in own:
                with contextlib.suppress(OSError):  # another process was faster
                    lines = show_left(path)
                    if lines:
                        self._metrics.add("easyrec_engine_record_total", lines, kind=kind, result="recovered")

    def put(self, kind: str, lines: Callable[[], list[bytes]]) -> None:
        """Have lines written; they are made when it is their turn."""
        try:
            self._queue.put_nowait((kind, lines))
        except queue.Full:
            self._metrics.add("easyrec_engine_record_total", kind=kind, result="dropped")

    def close(self) -> None:
        """Write what waits, and show what was written."""
        self._queue.put(None)
        self._thread.join(30.0)

    def _run(self) -> None:
        while True:
            try:
                got = self._queue.get(timeout=LOOK_S)
            except queue.Empty:
                self._turn()
                continue
            if got is None:
                break
            self._write(*got)
            self._turn()
        for kind in list(self._open):
            self._show(kind)

    def _write(self, kind: str, make: Callable[[], list[bytes]]) -> None:
        lines: list[bytes] = []
        try:
            lines = make()
            if lines:
                if kind not in self._open:
                    self.folder.mkdir(parents=True, exist_ok=True)
                    self._open[kind] = _File(self.folder, kind)
                self._open[kind].write(lines)
            result = "written"
        except Exception as error:  # noqa: BLE001 (the process edge: a full disk ends no server)
            tell(logging.ERROR, "a record could not be written", error, kind=kind, why=str(error)[:200])
            result = "failed"
            self._show(kind)
        self._metrics.add("easyrec_engine_record_total", max(1, len(lines)), kind=kind, result=result)

    def _turn(self) -> None:
        now = time.monotonic()
        for kind, file in list(self._open.items()):
            if file.lines >= self.config.file_rows or now - file.since >= self.config.file_s:
                self._show(kind)
        if now - self._tidied < TIDY_S:
            return
        self._tidied = now
        self.recover()
        if self.config.keep_days is not None:
            oldest = time.time() - 86_400.0 * self.config.keep_days
            for path in (path for kind in KINDS for path in self.folder.glob(f"{kind}-*.jsonl")):
                with contextlib.suppress(OSError):
                    if path.stat().st_mtime < oldest:
                        path.unlink()

    def _show(self, kind: str) -> None:
        file = self._open.pop(kind, None)
        if file is not None:
            with contextlib.suppress(OSError):
                file.show()


def exposure_lines(listed: Listed, answer: Mapping[str, Any], features: bool) -> list[bytes]:
    """A line for each item of a list.

    Args:
        listed: The list.
        answer: What the client was told.
        features: Whether to write what the ranking model read.
    """
    asked, candidates = listed.ask.question, listed.candidates
    shared = {
        "request_id": asked.request_id,
        "scene": answer["scene"],
        "user_id": asked.user_id,
        "time": asked.time,
        "experiments": answer["experiments"],
    }
    propensities = [1.0] * len(candidates) if candidates.propensity is None else candidates.propensity.tolist()
    once, each = _raw(listed) if features else ({}, [{}] * len(candidates))
    head, side = _dump(shared)[:-1], _dump(once)[1:-1]
    lines = []
    for item, propensity, own in zip(answer["items"], propensities, each, strict=True):
        line = {
            "event_id": f"{asked.request_id}/{item['item_id']}",
            "item_id": item["item_id"],
            "position": item["position"],
            "score": item["score"],
            "sources": item["sources"],
            "propensity": propensity,
        }
        columns = _dump(own)[1:-1]
        inside = b",".join(part for part in (side, columns) if part)
        lines.append(b"".join((head, b",", _dump(line)[1:-1], b',"features":{', inside, b"}}\n")))
    return lines


def _raw(listed: Listed) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the model read; nothing where a column that a client sent is none that a model could: the list was shown."""
    try:
        return listed.plan.raw(listed.ask, listed.candidates.rows)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        listed.ask.world.failed("record", error)
        return {}, [{}] * len(listed.candidates)


def event_lines(events: Iterable[Mapping[str, Any]]) -> list[bytes]:
    """A line for each event."""
    return [_dump(event) + b"\n" for event in events]


def _dump(value: Any) -> bytes:
    return orjson.dumps(value, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY)


def _plain(value: Any) -> Any:
    if isinstance(value, pa.Scalar):
        return value.as_py()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value)
