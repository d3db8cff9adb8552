"""Predictions by any number of workers: each takes slices from a queue, and every slice becomes a part of its own."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from easyrec.config import Experiment
from easyrec.data import Part, Source
from easyrec.data.content import content_of
from easyrec.data.parts import Parts
from easyrec.data.queues import QueueConfig
from easyrec.data.slices import Slice, SlicedSource, slices_of
from easyrec.data.work import Done, Worker
from easyrec.export.identity import model_digest
from easyrec.train.predict import predictions, write_predictions
from easyrec.train.scorer import Scorer


def predict_parts(
    experiment: Experiment,
    scorer: Scorer,
    part: Part | Source,
    folder: Path,
    queue: QueueConfig,
    *,
    wait: bool = True,
    bar: bool = False,
) -> Done:
    """Be one of the workers that score the rows of a part; started again, it does what is missing.

    Args:
        experiment: What was trained.
        scorer: Its weights.
        part: The rows.
        folder: Where the parts go.
        queue: Where the slices are handed out.
        wait: Stay until all slices are done.
        bar: Whether to draw a progress bar.

    Raises:
        ConfigError: The data lacks a column.
        QueueError: Slices have failed, or the queue cannot be used.
        RunError: The folder holds something else, or the disk refuses.
    """
    part = Part(part) if isinstance(part, Source) else part
    exact = all_written(experiment, part)
    job = job_of(experiment, scorer, part, content_of(part.source, list(part.source.columns)), queue.slice_rows)
    parts = Parts(folder, job)
    worker = Worker(queue, slices_of(part, queue.slice_rows), parts, wait=wait, bar=bar, exact=exact)

    def make(slice: Slice, path: Path) -> int:
        rows = Part(SlicedSource(part.source, slice), part.predicate, part.name)
        return write_predictions(predictions(experiment, scorer, rows), path)

    return worker.run(make)


def all_written(experiment: Experiment, part: Part) -> bool:
    """Whether every row that is read is written."""
    return part.predicate is None and experiment.data.bad_rows != "skip"


def job_of(experiment: Experiment, scorer: Scorer, part: Part, rows: str, slice_rows: int) -> dict[str, Any]:
    """What must be the same for parts of two workers to belong together.

    Args:
        experiment: What was trained.
        scorer: Its weights.
        part: The rows.
        rows: Tells them from others.
        slice_rows: Rows of a slice.
    """
    data = experiment.data
    split = None if part.predicate is None or data.split is None else data.split.model_dump(mode="json")
    with scorer.averaged():
        weights = model_digest(experiment, scorer.model, scorer.collection.served)
    model = [
        weights,
        experiment.model.model_dump(mode="json"),
        [task.model_dump(mode="json") for task in scorer.scoring.tasks],
    ]
    return {
        "work": "predict",
        "model": hashlib.sha256(json.dumps(model, sort_keys=True).encode()).hexdigest(),
        "rows": rows,
        "split": None if split is None else [part.name, split],
        "data.reserved": list(data.reserved),
        "data.bad_rows": data.bad_rows,
        "slice_rows": slice_rows,
    }
