"""What a bundle serves with: each wanted precision and runtime is written, compared, gated and timed, the fastest chosen."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from easyrec.batch import Batch
from easyrec.embedding.codecs import encoded_tables
from easyrec.embedding.collection import BatchColumns
from easyrec.embedding.counting import count_rows
from easyrec.embedding.reader import TableReader, write_tables
from easyrec.errors import BundleError, MissingExtra, RunError
from easyrec.export import runtimes
from easyrec.export.calls import Program
from easyrec.export.gate import Cost, Gate, HeldOut
from easyrec.export.manifest import Attempt, RuntimeEntry, SplitEntry
from easyrec.export.portions import in_portions, num_steps
from easyrec.export.program import example
from easyrec.export.requests import (
    CANDIDATES,
    PROVEN,
    request_example,
    request_program,
    request_tables,
    summed_program,
)
from easyrec.export.runtimes import Run
from easyrec.export.sides import sides_reader
from easyrec.export.warmup import WarmupRows, largest_error
from feature_generator.columns import Ragged

if TYPE_CHECKING:
    from easyrec.config.compress import CodecConfig
    from easyrec.config.export import ExportConfig
    from easyrec.embedding.encoded import Encoded
    from easyrec.embedding.packing import Precision
    from easyrec.embedding.served import ServedTables
    from easyrec.embedding.sides import SidesReader
    from easyrec.export.bundle import Draft
    from easyrec.export.kernels.sums import Given
    from feature_generator import FeatureGenerator, Table

logger = logging.getLogger("easyrec.export")

PROGRAM, TABLES, ALWAYS = "program", "tables", "torch_export"
REQUESTS = "request"
"""In the names of folders of programs for requests."""
MOST_TOLERANCE = 1e-5
"""Of `torch_export` in fp32, where rounding wants more than the usual."""
ALONE = 64
"""Rows that are scored one by one to see what rounding does."""
CELLS = (4096, 8192, 16384)
"""Candidates times steps at a time that are tried; 8192 with 32 numbers each are 1 MiB."""
LEAST_GAIN = 0.9
"""Of the time for all at once, what such portions may take at most."""
ROUNDS, SECONDS = 25, 2.0
"""How often a request is timed, at most, and for how long in all."""


@dataclass
class Choice:
    """What was written, and what serves.

    Attributes:
        tables: Precision of the tables.
        split: What the program for requests is fed with; None: there is none.
        runtimes: What the bundle has.
        runtime: The one that serves.
        tried: All that was tried.
    """

    tables: str = "fp32"
    split: SplitEntry | None = None
    runtimes: dict[str, RuntimeEntry] = field(default_factory=dict)
    runtime: str = ALWAYS
    tried: list[Attempt] = field(default_factory=list)


class Candidates:
    """Writes what is wanted into a bundle, and keeps what scores as trained.

    Args:
        config: What is wanted.
        draft: The bundle.
        generator: Makes features of raw rows.
        warmup: Rows with their trained predictions.
        gate: Judges what is lossy.
        learned: Gives the rows that were learned, by which codecs count ids; None: there are none.

    Attributes:
        trained: What the bundle must score for the warm-up rows: with compressed tables what these give.
        compressed: Whether the tables are compressed.
    """

    def __init__(
        self,
        config: ExportConfig,
        draft: Draft,
        generator: FeatureGenerator,
        warmup: WarmupRows,
        gate: Gate,
        learned: HeldOut | None = None,
    ) -> None:
        self.config, self.draft, self.gate, self.choice = config, draft, gate, Choice()
        self.learned, self.compressed = learned, False
        self.generator, self.rows = generator, warmup.rows
        self.trained: Mapping[str, np.ndarray] = warmup.predictions
        self._features = generator.transform(warmup.rows)
        self._runs: dict[str, tuple[Run, Run | None]] = {}
        self._questions: list[tuple[pa.RecordBatch, Mapping[str, np.ndarray]]] = []
        self._summed: tuple[Program, dict[str, Tensor], Given] | None = None

    def write(self, program: Program, tables: ServedTables, *, requests: bool) -> Choice:
        """Write tables and programs.

        Args:
            program: The dense part.
            tables: Its tables.
            requests: Whether there may be a program for requests beside it.

        Raises:
            RunError: The program does not score as the model.
        """
        maker, folder = runtimes.maker(ALWAYS), self.draft.folder(PROGRAM)
        programs, examples = {"": program}, {"": example(tables.plan.layouts)}
        maker.write(program, examples[""], folder, "fp32")
        run, apart = maker.load(folder), None
        self._write_tables(tables, run)
        tolerance = self._exactness + self._rounding
        split = None
        if requests:
            split = request_program(program, self._reader, self.generator, self.rows, tolerance)
        if split is not None:
            programs[REQUESTS], self.choice.split = split.program, split.entry
            if self.config.sums_mb:
                self._summed = summed_program(split, self._reader, self.config.sums_mb)
            examples[REQUESTS] = request_example(tables.plan, self.choice.split)
            folder = self.draft.folder(self.choice.split.folder)
            maker.write(programs[REQUESTS], examples[REQUESTS], folder, "fp32")
            apart = maker.load(folder)
            self._questions = [(rows, apart(self._request_of(rows, apart))) for rows in self._parts()]
        self._keep(ALWAYS, "fp32", run, apart, tolerance)
        wanted = runtimes.installed() if self.config.runtimes == "auto" else self.config.runtimes
        for name in wanted:
            if name != ALWAYS:
                self._try(name, programs, examples)
        if len(self._runs) > 1:
            self._time()
        if self.choice.split is not None:
            self.choice.split = self.choice.split.model_copy(update={"cells": self._cells()})
        return self.choice

    def _request_of(self, rows: pa.RecordBatch, apart: Run) -> dict[str, np.ndarray]:
        """What a program for requests is given for the first row's user and all items."""
        return self._sides(apart).lookup(*request_tables(self.generator, rows))

    def _sides(self, apart: Run) -> SidesReader:
        assert self.choice.split is not None
        return sides_reader(self._reader, self.choice.split, getattr(apart, "given", None))

    def _parts(self) -> Iterator[pa.RecordBatch]:
        """Rows as requests: all of them, and what is asked when a bundle is loaded, where int8 rounds otherwise."""
        yield self.rows
        several = range(min(CANDIDATES, self.rows.num_rows))
        for row in range(min(PROVEN, self.rows.num_rows)):
            yield self.rows.slice(row, 1)
            yield self.rows.take(pa.array([row, *several]))

    # ------------------------------------------------------------------------------------------------ tables

    def _write_tables(self, tables: ServedTables, run: Run) -> None:
        folder = self.draft.folder(TABLES)
        write_tables(folder, tables)
        self._open(folder)
        self._exactness, self._rounding = self._exact(run), 0.0
        wanted = {table.name: self.config.tables_of(table.name) for table in tables.plan.tables}
        if self.config.compress and self._lossy(tables, wanted, run, self.config.compress):
            # What is served is another model, and it is proven to be that: to the last bit where rounding allows.
            found = run(self._inputs)
            self.compressed, self.trained = True, {name: found[name] for name in self.trained}
        elif not set(wanted.values()) <= {"fp32"}:
            self._lossy(tables, wanted, run, [])

    def _lossy(
        self, tables: ServedTables, wanted: Mapping[str, Precision], run: Run, codecs: Sequence[CodecConfig]
    ) -> bool:
        """Serve by tables in fewer bytes, where they do not cost too much."""
        folder, lossy = self.draft.folder(TABLES), self.draft.folder(f"{TABLES}.lossy")
        name, size = "+".join([*sorted(set(wanted.values())), *(codec.type for codec in codecs)]), None
        try:
            encoded = self._encoded(tables, wanted, codecs) if codecs else {}
            if codecs and not encoded:
                raise ValueError("no table becomes smaller")
            used = sorted(write_tables(lossy, tables, wanted, encoded))
            name = "+".join([*used, *(codec.type for codec in codecs)])
        except ValueError as failure:
            shutil.rmtree(lossy)
            self._note(ALWAYS, "fp32", name, None, str(failure))
            return False
        if codecs:
            size = sum(path.stat().st_size for path in lossy.glob("*.npy"))
        self._open(lossy)
        error = self._error(run)
        cost = self._judge(run, error, compressed=bool(codecs))
        self._note(ALWAYS, "fp32", name, error, cost.reason, cost, size)
        if cost.reason:
            shutil.rmtree(lossy)
        else:
            self._rounding, self.choice.tables = 0.0 if codecs else error, name
            shutil.rmtree(folder)
            lossy.rename(folder)
        self._open(folder)
        return not cost.reason

    def _encoded(
        self, tables: ServedTables, wanted: Mapping[str, Precision], codecs: Sequence[CodecConfig]
    ) -> dict[str, Encoded]:
        """The tables that codecs make smaller.

        Raises:
            ValueError: A precision cannot hold a number, or the codecs need to know what was learned, and nothing tells.
        """
        if self.learned is None:
            raise ValueError("no rows of training tell how often each id was met")
        counts = count_rows(tables, (BatchColumns(batch) for batch in self.learned()))
        return encoded_tables(tables, counts, codecs, wanted)

    def _exact(self, run: Run) -> float:
        """How far the scores of the program may lie from the trained ones.

        Where logits are large, rounding alone moves a row by more than the usual tolerance between a batch of its own and
        a larger one, and no program can do better; then it is a few times as much as that.

        Raises:
            RunError: They lie further from them.
        """
        usual = runtimes.maker(ALWAYS).TOLERANCE
        together = run(self._inputs)
        errors = {name: largest_error(together[name], trained) for name, trained in self.trained.items()}
        if max(errors.values(), default=0.0) <= usual:
            return usual
        rounding = 0.0
        for row in range(min(self.rows.num_rows, ALONE)):
            one = run(self._reader.lookup(self.generator.transform(self.rows.slice(row, 1))))
            rounding = max(
                rounding, *(largest_error(one[name], together[name][row : row + 1]) for name in self.trained)
            )
        tolerance = min(max(usual, 4 * rounding), MOST_TOLERANCE)
        for name, error in errors.items():
            if not error <= tolerance:
                raise RunError(
                    f"the exported program does not score as the model: task '{name}' differs by {error:.2e}"
                )
        return tolerance

    def _open(self, folder: Path) -> None:
        """From now on, look up in some tables."""
        self._reader = TableReader.open(folder, verify=False)
        self._inputs = self._reader.lookup(self._features)

    # ------------------------------------------------------------------------------------------------ programs

    def _try(self, name: str, programs: Mapping[str, Program], examples: Mapping[str, Mapping[str, Tensor]]) -> None:
        try:
            maker = runtimes.maker(name)
        except MissingExtra as missing:
            return self._note(name, "fp32", self.choice.tables, None, str(missing))
        exact = self.config.precision == "fp32" or self.config.precision not in maker.PRECISIONS
        for precision in ("fp32",) if exact else (self.config.precision, "fp32"):
            folders = {part: self.draft.folder(f"{name}-{part}" if part else name) for part in programs}
            built: dict[str, str] = {}
            try:
                for part, folder in folders.items():
                    if part == REQUESTS and maker.SUMS and self._summed is not None:
                        program, given, sums = self._summed
                        built = maker.write(program, given, folder, precision)
                        sums.save(folder)
                    else:
                        built = maker.write(programs[part], examples[part], folder, precision)
                run = maker.load(folders[""])
                apart = maker.load(folders[REQUESTS]) if REQUESTS in folders else None
                error = max(self._error(run), self._error_apart(apart))
            except (RunError, BundleError) as failure:
                usual = isinstance(failure, RunError) and self.config.runtimes == "auto"  # nobody named this runtime
                level = logging.INFO if usual else logging.WARNING
                self._note(name, precision, self.choice.tables, None, str(failure), level=level)
                _remove(folders)
                continue
            cost = Cost()
            if precision == "fp32":
                within = error <= max(maker.TOLERANCE, self._exactness) + self._rounding
                reason = "" if within else f"a score moves by {error:.2g}, allowed are {maker.TOLERANCE:g}"
            else:
                cost = self._judge(run, error, compressed=self.compressed)
                reason = cost.reason
            self._note(name, precision, self.choice.tables, error, reason, cost)
            if not reason:
                lossy = 2 * error if precision != "fp32" else self._rounding  # another processor rounds elsewhere
                tolerance = max(maker.TOLERANCE, self._exactness) + lossy
                return self._keep(name, precision, run, apart, tolerance, built, native=maker.NATIVE)
            _remove(folders)
        return None

    def _error(self, run: Run) -> float:
        """Largest difference from what was trained, over the warm-up rows."""
        found = run(self._inputs)
        return max(largest_error(found[name], values) for name, values in self.trained.items())

    def _error_apart(self, apart: Run | None) -> float:
        """Largest difference from what the program for requests answers by torch, which is proven."""
        if apart is None:
            return 0.0
        found = [(apart(self._request_of(rows, apart)), answers) for rows, answers in self._questions]
        return max(largest_error(scores[name], answers[name]) for scores, answers in found for name in self.trained)

    def _judge(self, run: Run, error: float, *, compressed: bool = False) -> Cost:
        reader = self._reader

        def score(batch: Batch) -> Mapping[str, np.ndarray]:
            return run(reader.read(BatchColumns(batch)))

        return self.gate(score, error, compressed=compressed)

    def _keep(
        self,
        name: str,
        precision: str,
        run: Run,
        apart: Run | None,
        tolerance: float,
        built: Mapping[str, str] | None = None,
        *,
        native: bool = False,
    ) -> None:
        self._runs[name] = run, apart
        self.choice.runtimes[name] = RuntimeEntry(
            folder=PROGRAM if name == ALWAYS else name,
            tolerance={precision: tolerance},
            precision=precision,
            native=native,
            built_for=dict(built or {}),
            requests=None if apart is None or name == ALWAYS else f"{name}-{REQUESTS}",
        )

    def _note(
        self,
        name: str,
        precision: str,
        tables: str,
        error: float | None,
        reason: str,
        cost: Cost | None = None,
        size: int | None = None,
        *,
        level: int = logging.WARNING,
    ) -> None:
        """Keep what was found for the manifest; what is left out is told."""
        if reason:
            text = "left out of the bundle: %s in %s with tables in %s: %s"
            logger.log(level, text, name, precision, tables, reason)
        measured: dict[str, Any] = {}
        if cost is not None and cost.rows:
            measured = {"rows": cost.rows, "score_error": cost.score_error, "auc_drop": dict(cost.auc_drop)}
        self.choice.tried.append(
            Attempt(
                runtime=name,
                precision=precision,
                tables=tables,
                kept=not reason,
                reason=reason,
                error=None if error is None or not np.isfinite(error) else error,
                table_bytes=size,
                **measured,
            )
        )

    # ------------------------------------------------------------------------------------------------ times

    def _time(self) -> None:
        """Choose by the time that a request takes from its features on."""
        rows = self.rows.take(pa.array(np.arange(self.config.request.items) % self.rows.num_rows))
        if self.choice.split is None:
            whole = self._reader.lookup(self.generator.transform(rows))
            calls = {name: partial(run, whole) for name, (run, _) in self._runs.items()}
        else:
            once, each = request_tables(self.generator, rows)
            calls = {
                name: partial(_looked_up, apart, self._sides(apart), once, each)
                for name, (_, apart) in self._runs.items()
                if apart is not None
            }
        times = {name: round(1000 * t, 4) for name, t in interleaved(calls).items()}
        entries = self.choice.runtimes
        for name, milliseconds in times.items():
            entries[name] = entries[name].model_copy(update={"milliseconds": milliseconds})
            self.choice.tried = [
                a.model_copy(update={"milliseconds": milliseconds})
                if a.kept and (a.runtime, a.precision, a.tables) == (name, entries[name].precision, self.choice.tables)
                else a
                for a in self.choice.tried
            ]
        fastest = min(times, key=times.__getitem__)
        if self.config.runtime is not None and self.config.runtime not in entries:
            logger.warning(
                "export.runtime is %s, which the bundle lacks: it serves by %s", self.config.runtime, fastest
            )
        self.choice.runtime = self.config.runtime if self.config.runtime in entries else fastest

    def _cells(self) -> int | None:
        """How many candidates times steps are best computed at a time, for the user with the longest history."""
        apart = self._runs[self.choice.runtime][1]
        rows = self.rows.take(pa.array([self._longest(), *range(self.rows.num_rows)]))
        rows = rows.take(pa.array(np.arange(self.config.request.items) % rows.num_rows))
        if apart is None:
            return None
        asked = self._request_of(rows, apart)
        if num_steps(asked) * len(rows) < 2 * min(CELLS):
            return None
        whole = apart(asked)
        tried: dict[int | None, dict[str, np.ndarray]] = {cells: in_portions(apart, asked, cells) for cells in CELLS}
        alike = [
            cells
            for cells, found in tried.items()
            if max(largest_error(found[name], whole[name]) for name in whole) <= MOST_TOLERANCE
        ]
        times = interleaved({str(c): partial(in_portions, apart, asked, c) for c in [None, *alike]})
        best = min(times, key=times.__getitem__)
        return int(best) if times[best] < LEAST_GAIN * times["None"] else None

    def _longest(self) -> int:
        """The row whose sequences have the most steps together."""
        split = self.choice.split
        assert split is not None
        columns = (self._features[name] for name in split.user)
        lengths = [column.lengths for column in columns if isinstance(column, Ragged)]
        return int(np.argmax(sum(lengths, np.zeros(self.rows.num_rows, np.int64))))


def _looked_up(apart: Run, sides: SidesReader, once: Table, each: Table) -> dict[str, np.ndarray]:
    return apart(sides.lookup(once, each))


def _remove(folders: Mapping[str, Path]) -> None:
    for folder in folders.values():
        shutil.rmtree(folder)


def interleaved(runs: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """Median seconds of processor time of each function, called in turns with one thread inside torch."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for run in runs.values():
            run()
        spent: dict[str, list[float]] = {name: [] for name in runs}
        end = time.monotonic() + SECONDS
        for round_ in range(ROUNDS):
            for name, run in runs.items():
                before = time.thread_time()
                run()
                spent[name].append(time.thread_time() - before)
            if time.monotonic() > end and round_:
                break
    finally:
        torch.set_num_threads(threads)
    return {name: median(seconds) for name, seconds in spent.items()}
