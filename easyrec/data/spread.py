"""`spread`: slices over the workers of an engine, and the folder of parts that they become."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from easyrec.data.engines import Engine, Progress, Table, Task, Told
from easyrec.data.engines._worker import raised
from easyrec.data.parts import Parts
from easyrec.data.queues import Entry
from easyrec.data.slices import Slice
from easyrec.data.sources import Source
from easyrec.data.sources._text import COMPRESSED
from easyrec.errors import ConfigError, DataError, EngineError, Problem

logger = logging.getLogger("easyrec.data")

TOLD_SECONDS = 10.0
"""Without a bar the log tells of progress as often."""

MOST_FAILED = 10
"""After as many failed slices the work is stopped: what is wrong is likely wrong everywhere."""


@dataclass(frozen=True)
class Spread:
    """What became of the work.

    Attributes:
        rows: Rows of all parts together.
        slices: Number of parts.
        kept: Parts that a former run had left, whose reports nobody has any more.
        reports: What workers told of the parts that were made now, in the order of the rows.
        workers: Names of the workers that made them.
        seconds: How long it took.
    """

    rows: int
    slices: int
    kept: int = 0
    reports: Sequence[Mapping[str, Any]] = ()
    workers: Sequence[str] = ()
    seconds: float = 0.0


@dataclass
class _Results:
    """What workers have told so far."""

    done: dict[int, Told] = field(default_factory=dict)
    failed: dict[int, Exception] = field(default_factory=dict)

    def take(self, told: Told) -> None:
        if told.error is None:
            self.done[told.number] = told
            return
        error = raised(dict(told.error))
        if told.error["kind"] not in ("DataError", "EngineError", ""):
            raise error  # not of the slice: the others would say the same
        self.failed[told.number] = error


def spread(
    engine: Engine, task: Task, parts: Parts, slices: Sequence[Slice], *, overwrite: bool = False, bar: bool = False
) -> Spread:
    """Let an engine's workers make what is missing of a folder of parts.

    Args:
        engine: Who works.
        task: What is done.
        parts: Where the parts go.
        slices: All slices of the work.
        overwrite: Remove what is there first.
        bar: Draw a progress bar; else the log tells of progress.

    Raises:
        DataError: Slices have failed for their rows; the others are done.
        EngineError: Slices have failed otherwise, or the engine gave up; started again, only what is missing is done.
        RunError: The folder is complete, or holds something else; or a worker cannot work.
    """
    began = time.perf_counter()
    parts.renew(overwrite)
    parts.prepare()
    parts.tidy()
    names = [slice.name for slice in slices]
    missing = set(parts.missing(names))
    numbers = [
        number for number, name in enumerate(names) if name in missing or not _whole(parts, slices[number], task)
    ]
    kept = {number: parts.rows(names[number]) for number in set(range(len(names))) - set(numbers)}
    if kept:
        logger.info("%d of %d slices are there already", len(kept), len(names))
    results = _Results()
    if numbers:
        with _Progress(len(numbers), bar=bar) as progress:
            _gather(engine.run(task, numbers, progress), results, len(numbers))
    _check(results, slices)
    lost = [names[number] for number in numbers if number not in results.done]
    if lost:
        raise EngineError(f"{engine.shown} told nothing of {len(lost)} slices, such as {lost[0]}: start again")
    rows = {**kept, **{number: told.rows for number, told in results.done.items()}}
    total = parts.conclude([Entry(name, "done", rows=rows[number]) for number, name in enumerate(names)])
    return _summed(results, total, len(names), len(kept), began)


def spread_table(
    engine: Engine,
    task: Task,
    parts: Parts,
    table: Table,
    columns: Sequence[str],
    *,
    overwrite: bool = False,
    bar: bool = False,
) -> Spread:
    """Let an engine's workers make a part of each partition of a table; as `spread`, but always from the start.

    Args:
        engine: Who works.
        task: What is done.
        parts: Where the parts go.
        table: The rows.
        columns: Which columns are read.
        overwrite: Remove what is there first.
        bar: Whether to draw a progress bar.
    """
    began, results = time.perf_counter(), _Results()
    parts.renew(overwrite)
    parts.prepare()
    with _Progress(table.partitions, bar=bar) as progress:
        _gather(engine.run_table(task, table, columns, progress), results, table.partitions)
    names = {number: f"{number:05}" for number in results.done}
    _check(results, [Slice(f"{number:05}", (), None) for number in range(table.partitions)])
    total = parts.conclude(
        [Entry(names[number], "done", rows=told.rows) for number, told in sorted(results.done.items())]
    )
    return _summed(results, total, len(names), 0, began)


def folder_of(output: str | os.PathLike[str]) -> Path:
    """The folder that an engine's workers write to.

    Raises:
        ConfigError: It is called like a file, or lies on another file system than a machine's own.
    """
    text = os.fspath(output)
    if text.lower().endswith((".csv", ".parquet")):
        raise ConfigError([Problem("with an engine it is a folder, of one parquet file per slice", "output")])
    if "://" in text:
        raise ConfigError([Problem(f"'{text}' is no folder: mount it where all workers see it", "output")])
    return Path(text)


def divisible(source: Source) -> None:
    """Check that several workers can each read some of a source.

    Raises:
        ConfigError: They cannot; says what to do instead.
    """
    if source.endless:
        raise ConfigError("rows without an end cannot be shared out by an engine: let the source end, without 'follow'")
    units, files = source.units(), list(getattr(source, "files", ()))
    if len(units) == 1 and units[0].rows is None and len(files) == 1 and files[0].path.endswith(COMPRESSED):
        text = f"{files[0].name} is compressed as a whole, so that only one worker could read it"
        raise ConfigError(f"{text}: write parquet, or several files; or take no engine")


def _gather(told: Generator[Told], results: _Results, total: int) -> None:
    with closing(told):  # what is left early is stopped
        for one in told:
            results.take(one)
            if len(results.failed) >= MOST_FAILED < total:
                break


def _whole(parts: Parts, slice: Slice, task: Task) -> bool:
    """Whether a part that is there can stay."""
    rows = parts.rows(slice.name)
    return rows is not None and (not task.exact or slice.rows in (None, rows))


def _check(results: _Results, slices: Sequence[Slice]) -> None:
    """Raise what slices failed of."""
    failed = sorted(results.failed.items())
    if not failed:
        return
    first = failed[0][1]
    lines = [f"  {slices[number].name}: {error}" for number, error in failed[:MOST_FAILED]]
    others = "the others are done" if len(failed) < MOST_FAILED else "the others were stopped"
    head = f"{len(failed)} of {len(slices)} slices failed, {others}"
    if not all(isinstance(error, DataError) for _, error in failed):
        raise EngineError("\n".join([f"{head}:", *lines, "mend the cause and start again: only these are tried anew"]))
    if len(failed) == 1:
        logger.warning("%s", head)
        raise first
    raise DataError("\n".join([f"{head}:", *lines]))


def _summed(results: _Results, rows: int, slices: int, kept: int, began: float) -> Spread:
    told = [results.done[number] for number in sorted(results.done)]
    workers = sorted({one.worker for one in told})
    return Spread(rows, slices, kept, [one.report for one in told], workers, time.perf_counter() - began)


class _Progress:
    """How many slices are done, in a bar or in the log."""

    def __init__(self, total: int, *, bar: bool) -> None:
        self._bar, self._log = tqdm(total=total, unit="slices", disable=not bar), not bar
        self._total, self._next = total, time.monotonic() + TOLD_SECONDS

    def __enter__(self) -> Progress:
        return self._tell

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def _tell(self, done: int) -> None:
        self._bar.update(done - self._bar.n)
        if self._log and time.monotonic() >= self._next:
            self._next = time.monotonic() + TOLD_SECONDS
            logger.info("%d of %d slices done", done, self._total)
