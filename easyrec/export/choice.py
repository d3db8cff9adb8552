"""What a bundle serves with: each wanted precision and runtime is written, compared, gated and timed, the fastest chosen."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping
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
from easyrec.embedding.collection import BatchColumns
from easyrec.embedding.reader import TableReader, write_tables
from easyrec.errors import BundleError, MissingExtra, RunError
from easyrec.export import runtimes
from easyrec.export.calls import Program
from easyrec.export.gate import Cost, Gate
from easyrec.export.manifest import Attempt, RuntimeEntry
from easyrec.export.runtimes import Run
from easyrec.export.warmup import WarmupRows, largest_error

if TYPE_CHECKING:
    from easyrec.config.export import ExportConfig
    from easyrec.embedding.served import ServedTables
    from easyrec.export.bundle import Draft
    from feature_generator import FeatureGenerator

logger = logging.getLogger("easyrec.export")

PROGRAM, TABLES, ALWAYS = "program", "tables", "torch_export"
FOLDERS = {ALWAYS: PROGRAM}
"""Of the runtimes whose folder has another name than they."""
ROUNDS, SECONDS = 25, 2.0
"""How often a request is timed, at most, and for how long in all."""


@dataclass
class Choice:
    """What was written, and what serves.

    Attributes:
        tables: Precision of the tables.
        runtimes: What the bundle has.
        runtime: The one that serves.
        tried: All that was tried.
    """

    tables: str = "fp32"
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
    """

    def __init__(
        self, config: ExportConfig, draft: Draft, generator: FeatureGenerator, warmup: WarmupRows, gate: Gate
    ) -> None:
        self.config, self.draft, self.gate, self.choice = config, draft, gate, Choice()
        self.trained = warmup.predictions
        self._features = generator.transform(warmup.rows)
        many = pa.array(np.arange(config.request.items) % warmup.rows.num_rows)
        self._request = partial(generator.transform, warmup.rows.take(many))
        self._runs: dict[str, Run] = {}

    def write(self, program: Program, example: Mapping[str, Tensor], tables: ServedTables) -> Choice:
        """Write tables and programs.

        Args:
            program: The dense part.
            example: Inputs that tell its types.
            tables: Its tables.

        Raises:
            RunError: The program does not score as the model.
        """
        maker = runtimes.maker(ALWAYS)
        folder = self.draft.folder(FOLDERS[ALWAYS])
        maker.write(program, example, folder, "fp32")
        run = maker.load(folder)
        self._write_tables(tables, run)
        self._keep(ALWAYS, "fp32", run, maker.TOLERANCE, self._rounding)
        wanted = runtimes.installed() if self.config.runtimes == "auto" else self.config.runtimes
        for name in wanted:
            if name != ALWAYS:
                self._try(name, program, example)
        if len(self._runs) > 1:
            self._time()
        return self.choice

    # ------------------------------------------------------------------------------------------------ tables

    def _write_tables(self, tables: ServedTables, run: Run) -> None:
        folder = self.draft.folder(TABLES)
        write_tables(folder, tables)
        self._open(folder)
        for task, error in self._errors(run).items():
            if not error <= runtimes.maker(ALWAYS).TOLERANCE:
                raise RunError(
                    f"the exported program does not score as the model: task '{task}' differs by {error:.2e}"
                )
        self._rounding = 0.0
        wanted = {table.name: self.config.tables_of(table.name) for table in tables.plan.tables}
        if set(wanted.values()) <= {"fp32"}:
            return None
        lossy = self.draft.folder(f"{TABLES}.lossy")
        name = "+".join(sorted(set(wanted.values())))
        try:
            name = "+".join(sorted(write_tables(lossy, tables, wanted)))
        except ValueError as failure:
            shutil.rmtree(lossy)
            return self._note(ALWAYS, "fp32", name, None, str(failure))
        self._open(lossy)
        error = self._error(run)
        cost = self._judge(run, error)
        self._note(ALWAYS, "fp32", name, error, cost.reason, cost)
        if cost.reason:
            shutil.rmtree(lossy)
        else:
            self._rounding, self.choice.tables = error, name
            shutil.rmtree(folder)
            lossy.rename(folder)
        self._open(folder)
        return None

    def _open(self, folder: Path) -> None:
        """From now on, look up in some tables."""
        self._reader = TableReader.open(folder, verify=False)
        self._inputs = self._reader.lookup(self._features)

    # ------------------------------------------------------------------------------------------------ programs

    def _try(self, name: str, program: Program, example: Mapping[str, Tensor]) -> None:
        try:
            maker = runtimes.maker(name)
        except MissingExtra as missing:
            return self._note(name, "fp32", self.choice.tables, None, str(missing))
        exact = self.config.precision == "fp32" or self.config.precision not in maker.PRECISIONS
        for precision in ("fp32",) if exact else (self.config.precision, "fp32"):
            folder = self.draft.folder(name)
            try:
                built = maker.write(program, example, folder, precision)
                run = maker.load(folder)
                error = self._error(run)
            except (RunError, BundleError) as failure:
                self._note(name, precision, self.choice.tables, None, str(failure))
                shutil.rmtree(folder)
                continue
            cost = Cost()
            if precision == "fp32":
                within = error <= maker.TOLERANCE + self._rounding
                reason = "" if within else f"a score moves by {error:.2g}, allowed are {maker.TOLERANCE:g}"
            else:
                cost = self._judge(run, error)
                reason = cost.reason
            self._note(name, precision, self.choice.tables, error, reason, cost)
            if not reason:
                lossy = 2 * error if precision != "fp32" else self._rounding  # another processor rounds elsewhere
                return self._keep(name, precision, run, maker.TOLERANCE, lossy, built, native=maker.NATIVE)
            shutil.rmtree(folder)
        return None

    def _errors(self, run: Run) -> dict[str, float]:
        """By task, the largest difference from what was trained, over the warm-up rows."""
        found = run(self._inputs)
        return {name: largest_error(found[name], values) for name, values in self.trained.items()}

    def _error(self, run: Run) -> float:
        return max(self._errors(run).values())

    def _judge(self, run: Run, error: float) -> Cost:
        reader = self._reader

        def score(batch: Batch) -> Mapping[str, np.ndarray]:
            return run(reader.read(BatchColumns(batch)))

        return self.gate(score, error)

    def _keep(
        self,
        name: str,
        precision: str,
        run: Run,
        tolerance: float,
        lossy: float,
        built: Mapping[str, str] | None = None,
        *,
        native: bool = False,
    ) -> None:
        self._runs[name] = run
        self.choice.runtimes[name] = RuntimeEntry(
            folder=FOLDERS.get(name, name),
            tolerance={precision: tolerance + lossy},
            precision=precision,
            native=native,
            built_for=dict(built or {}),
        )

    def _note(
        self, name: str, precision: str, tables: str, error: float | None, reason: str, cost: Cost | None = None
    ) -> None:
        """Keep what was found for the manifest; what is left out is told."""
        if reason:
            logger.warning("left out of the bundle: %s in %s with tables in %s: %s", name, precision, tables, reason)
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
                **measured,
            )
        )

    # ------------------------------------------------------------------------------------------------ times

    def _time(self) -> None:
        """Choose by the time that the dense part of a request takes."""
        inputs = self._reader.lookup(self._request())
        times = {name: round(1000 * t, 4) for name, t in interleaved(self._runs, inputs).items()}
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


def interleaved(runs: Mapping[str, Callable[[Any], Any]], inputs: Any) -> dict[str, float]:
    """Median seconds of processor time of each function, called in turns with one thread inside torch."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for run in runs.values():
            run(inputs)
        spent: dict[str, list[float]] = {name: [] for name in runs}
        end = time.monotonic() + SECONDS
        for round_ in range(ROUNDS):
            for name, run in runs.items():
                before = time.thread_time()
                run(inputs)
                spent[name].append(time.thread_time() - before)
            if time.monotonic() > end and round_:
                break
    finally:
        torch.set_num_threads(threads)
    return {name: median(seconds) for name, seconds in spent.items()}
