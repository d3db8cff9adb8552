"""What runs on an engine's workers: a task is opened once in every process, then slices become parts."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa

from easyrec.data.engines import Made, Maker, Task, Told
from easyrec.data.parts import JOB, Parts
from easyrec.data.slices import Slice, SlicedSource, digest_of
from easyrec.data.sources import Source, Unit
from easyrec.errors import ConfigError, DataError, EngineError, RunError
from feature_generator import load_operators
from feature_generator.config import plug
from feature_generator.errors import FeatureGeneratorError

ATTEMPTS = 3
"""Tries of a slice that a file system fails; an engine tries again itself only what died with its process."""

DEATHS = 4
"""Processes that may die over one slice: some engines would try it for ever."""

_workers: dict[str, Worker] = {}
"""The worker of this process, by the key of its task."""


def worker_of(task: Task) -> Worker:
    """The worker of this process: its task is opened by the first slice, and stays."""
    key = task.setting.key
    if key not in _workers:
        _workers.clear()
        _workers[key] = Worker(task)
    return _workers[key]


class Worker:
    """One process of an engine's.

    Args:
        task: What it does.
    """

    def __init__(self, task: Task) -> None:
        self.task, self.parts = task, Parts(Path(task.setting.folder), {})
        self.name = f"{socket.gethostname()}-{os.getpid()}"
        self._maker: Maker | None = None

    def slice(self, number: int) -> str:
        """Do a slice; what became of it, as JSON."""
        return self._told(number, None)

    def batches(self, number: int, schema: pa.Schema, batches: Iterable[pa.RecordBatch], name: str) -> str:
        """Do rows that the engine has read; what became of them, as JSON.

        Args:
            number: Of the partition.
            schema: Columns of the rows.
            batches: The rows, which come once.
            name: What people call them.
        """
        return self._told(number, BatchSource(schema, batches, name))

    def _told(self, number: int, rows: Source | None) -> str:
        attempt = 1
        while True:
            try:
                made = self._make(number, rows)
            except OSError as error:
                if attempt < ATTEMPTS and rows is None:  # rows that come once are the engine's to bring again
                    time.sleep(attempt)
                    attempt += 1
                    continue
                return _json(Told(number, self.name, error=_plain(error)))
            except Exception as error:  # noqa: BLE001 (a process edge: the driver raises it again)
                return _json(Told(number, self.name, error=_plain(error)))
            return _json(Told(number, self.name, made.rows, made.report))

    def _make(self, number: int, rows: Source | None) -> Made:
        maker = self._maker = self._maker or self._open()
        wanted = None
        if rows is None:
            assert maker.source is not None
            slice: Slice = maker.slices[number]
            rows, name, wanted = SlicedSource(maker.source, slice), slice.name, slice.rows
        else:
            name = f"{number:05}"
        deaths = self.parts.begun(name)
        if deaths >= DEATHS:
            raise EngineError(
                f"its worker died {deaths} times: see the log of the engine, and how much memory there is"
            )
        mark, partial = self.parts.begin(name), self.parts.partial(name)
        try:
            made = maker.make(rows, partial)
            if self.task.exact and wanted not in (None, made.rows):
                raise DataError(f"{made.rows} rows were written of {wanted}")
            self.parts.publish(name, partial)
        finally:
            partial.unlink(missing_ok=True)
            mark.unlink(missing_ok=True)
        return made

    def _open(self) -> Maker:
        setting = self.task.setting
        if Path(setting.home).is_dir():
            os.chdir(setting.home)
        if setting.plugins and setting.home not in sys.path:  # a package may lie there, as for the command
            sys.path.append(setting.home)
        if not (self.parts.folder / JOB).exists():
            text = f"{self.parts.folder} is not there on {socket.gethostname()}"
            raise RunError(f"{text}: the output must lie where all workers and this machine see it")
        # One process per processor: threads of its own would only wait for each other.
        os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
        pa.set_cpu_count(1)
        for plugin in setting.plugins:
            plug(plugin)
        for library in setting.operators:
            load_operators(library)
        maker = self.task.open()
        if self.task.cut and digest_of(maker.slices) != self.task.cut:
            raise RunError(f"{socket.gethostname()} sees other rows than this machine: files differ, or have changed")
        return maker


class BatchSource(Source):
    """Rows that someone else reads, which come once.

    Args:
        schema: Their columns.
        batches: The rows.
        name: What people call them.
    """

    def __init__(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch], name: str) -> None:
        self.columns = {field.name: field.type for field in schema}
        self._batches, self.name = iter(batches), name

    def units(self) -> list[Unit]:
        """One, of unknown length."""
        return [Unit(0, None, self.name, self.name)]

    def read(self, unit: Unit, columns: Sequence[str], start_row: int = 0) -> Iterator[pa.RecordBatch]:
        """The rows."""
        del unit
        assert start_row == 0, "rows that come once are read from their start"
        for batch in self._batches:
            yield batch.select(list(columns))


def raised(error: dict[str, object]) -> Exception:
    """The error that a worker told of."""
    text = str(error["text"])
    if error["kind"] == "DataError":
        row, line = error["row"], error["line"]
        return DataError(
            text,
            column=str(error["column"]),
            row=row if isinstance(row, int) else None,
            line=line if isinstance(line, int) else None,
            file=str(error["file"]),
        )
    kinds: dict[str, type[Exception]] = {"ConfigError": ConfigError, "EngineError": EngineError}
    return kinds.get(str(error["kind"]), RunError)(text)


def _plain(error: Exception) -> dict[str, object]:
    """The error as plain data."""
    if isinstance(error, DataError):
        place = {"column": error.column, "row": error.row, "line": error.line, "file": error.file}
        return {"kind": "DataError", "text": error.reason, **place}
    own = isinstance(error, FeatureGeneratorError)
    text = str(error) if own else f"{type(error).__name__}: {error}"
    return {"kind": type(error).__name__ if own else "", "text": text}


def _json(told: Told) -> str:
    return json.dumps(asdict(told))


def told_of(text: str) -> Told:
    """What `Worker` told."""
    return Told(**json.loads(text))
