"""Predictions by the workers of an engine: `easyrec predict --engine`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml

from easyrec.config import Experiment, load_experiment
from easyrec.data import Part, Report, Source, open_sources
from easyrec.data.content import content_of
from easyrec.data.engines import Engine, EngineConfig, Made, Maker, Setting, Table, Task
from easyrec.data.engines._worker import BatchSource
from easyrec.data.parts import Parts
from easyrec.data.slices import batch_slices_of, digest_of
from easyrec.data.sources import SourceConfig
from easyrec.data.split import PartName
from easyrec.data.spread import Spread, divisible, spread, spread_table
from easyrec.data.travel import Travelled
from easyrec.train.memory import kept_memory
from easyrec.train.predict import predictions, rows_to_score, write_predictions
from easyrec.train.predict_parts import all_written, job_of
from easyrec.train.restore import restore
from easyrec.train.scorer import Scorer


@dataclass(frozen=True)
class Trained:
    """What is scored with, as a call names it: it lies where all workers see it.

    Attributes:
        experiment: The resolved config, `${ENV}` as written.
        run_dir: Folder of the run.
        checkpoint: Another checkpoint than the best one.
    """

    experiment: str
    run_dir: str
    checkpoint: str | None

    @classmethod
    def of(cls, experiment: Experiment, run_dir: Path, checkpoint: str | os.PathLike[str] | None) -> Trained:
        """What a run has left."""
        return cls(experiment.to_yaml(), str(run_dir), None if checkpoint is None else os.fspath(checkpoint))

    def load(self) -> tuple[Experiment, Scorer]:
        """The experiment and its weights."""
        experiment = load_experiment(yaml.safe_load(self.experiment))
        return experiment, restore(experiment, Path(self.run_dir), self.checkpoint)


def predict_spread(
    experiment: Experiment,
    scorer: Scorer,
    trained: Trained,
    rows: SourceConfig | PartName | Table,
    folder: Path,
    config: EngineConfig,
    engine: Engine,
    *,
    overwrite: bool = False,
    bar: bool = False,
) -> tuple[Report, Spread]:
    """Score rows by the workers of an engine.

    Args:
        experiment: What was trained.
        scorer: Its weights.
        trained: Where workers find both.
        rows: Where the rows are; the name of a part of the config's data for that.
        folder: Where the parts go, one for each slice.
        config: Of the engine.
        engine: Who works.
        overwrite: Replace what is there.
        bar: Whether to draw a progress bar.

    Returns:
        What was read, and what the engine did.

    Raises:
        ConfigError: The data lacks a column, or cannot be shared out.
        DataError: A row cannot be used.
        EngineError: The engine gave up.
        RunError: The folder is there already, or holds something else.
    """
    batch = experiment.data.rows_per_eval_batch
    task = PredictTask(Setting.here(folder), experiment.data.bad_rows != "skip", "", trained)
    if isinstance(rows, Table):
        part = Part(BatchSource(rows.schema, (), rows.name))
        columns = rows_to_score(experiment, part).columns
        parts = Parts(folder, job_of(experiment, scorer, part, f"{rows.name} {task.setting.key}", config.slice_rows))
        done = spread_table(engine, task, parts, rows, columns, overwrite=overwrite, bar=bar)
        return _report(done), done
    part = _opened(experiment, rows)
    divisible(part.source)
    rows_to_score(experiment, part)  # a column that is missing is told at once
    slices = batch_slices_of(part, config.slice_rows, batch)
    job = job_of(experiment, scorer, part, content_of(part.source, list(part.source.columns)), config.slice_rows)
    task = replace(
        task,
        cut=digest_of(slices),
        exact=all_written(experiment, part),
        slice_rows=config.slice_rows,
        part="" if isinstance(rows, SourceConfig) else rows,
        source=Travelled.of(rows, part.source) if isinstance(rows, SourceConfig) else None,
        pinned=part.source.pinned(),
    )
    parts = Parts(folder, {**job, "batches of": batch})
    done = spread(engine, task, parts, slices, overwrite=overwrite, bar=bar)
    return _report(done), done


@dataclass(frozen=True)
class PredictTask(Task):
    """Predictions of slices.

    Attributes:
        trained: What is scored with.
        source: Where the rows are, where they are of no part of the config's.
        part: Of which part they are; with neither the engine reads them.
        pinned: What the part's source is pinned to.
        slice_rows: Rows of a slice.
    """

    trained: Trained
    source: Travelled | None = None
    part: str = ""
    pinned: Mapping[str, Any] | None = None
    slice_rows: int = 0

    def open(self) -> Maker:
        """The weights and the source."""
        torch.set_num_threads(1)
        experiment, scorer = self.trained.load()
        part = None
        if self.source is not None:
            part = Part(self.source.open(experiment.data.bad_rows))
        elif self.part:
            part = _opened(experiment, self.part)
            if self.pinned is not None:
                part.source.pin(self.pinned)
        return _Predictor(experiment, scorer, part, self.slice_rows)


class _Predictor(Maker):
    def __init__(self, experiment: Experiment, scorer: Scorer, part: Part | None, slice_rows: int) -> None:
        self.experiment, self.scorer, self.part = experiment, scorer, part
        if part is not None:
            self.source = part.source
            self.slices = batch_slices_of(part, slice_rows, experiment.data.rows_per_eval_batch)

    def make(self, rows: Source, path: Path) -> Made:
        """The scores, with the report of the rows that were read."""
        found: list[Report] = []
        part = Part(rows) if self.part is None else replace(self.part, source=rows)
        with kept_memory():
            number = write_predictions(predictions(self.experiment, self.scorer, part, found.append), path)
        return Made(number, found[0].to_json())


def _opened(experiment: Experiment, rows: SourceConfig | str) -> Part:
    """The rows, opened."""
    if isinstance(rows, SourceConfig):
        return Part(rows.open(experiment.data.bad_rows))
    part: Part = getattr(open_sources(experiment), rows)
    return part


def _report(done: Spread) -> Report:
    """What all workers read, as one would tell it."""
    found = Report()
    for report in done.reports:
        found += Report.from_json(report)
    return found
