"""The end of a run: the best checkpoint is measured, calibrated, exported and reported."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from easyrec.batch import Batch
from easyrec.data import Loader, make_loader
from easyrec.data.intake import raw_columns
from easyrec.data.sample import read_sample
from easyrec.device import CPU, described
from easyrec.export import export_bundle
from easyrec.report import write_report
from easyrec.report.curves import Curves
from easyrec.report.environment import environment
from easyrec.report.statistics import statistics
from easyrec.train.bundling import export_both, export_rows, export_searching, no_bundle
from easyrec.train.calibrate import fit_calibration
from easyrec.train.run import Run
from easyrec.train.run_folder import CALIBRATION
from easyrec.train.snapshot import read_folder

if TYPE_CHECKING:
    from easyrec.train.trainer import Trainer

logger = logging.getLogger("easyrec.train")

SAMPLED_ROWS = 20_000
"""Rows that the report's feature statistics are made of."""


def finish(trainer: Trainer) -> Run:
    """Restore the best state, evaluate it on valid and test, export it, and write all of the run's last files."""
    trainer.finishing = True
    folder, watch = trainer.folder, trainer.watch
    best = trainer.best.best_step if trainer.best is not None else None
    at = trainer.step if best is None else best
    with watch.part("checkpoints"):
        if trainer.workers.several:
            trainer.go_alone(at)
        elif at != trainer.step:
            trainer.scorer.load(read_folder(trainer.store.folder(at)))
    result: dict[str, Any] = {}
    curves: dict[str, Any] = {}
    with watch.part("final evaluation"):
        fitted = {}
        if trainer.valid is not None:
            fitted = fit_calibration(trainer.experiment, trainer.scorer, trainer.valid, trainer.heed_signals)
            trainer.scorer.calibrate(fitted)
        for name, loader in (("valid", trainer.valid), ("test", trainer.test)):
            if loader is not None:
                result[name], curves[name] = _measure(trainer, loader)
    result["best_step"] = trainer.step if best is None else best
    result["seconds"] = round(trainer.seconds, 3)
    folder.write_json("metrics.json", result)
    if fitted:
        folder.write_json(CALIBRATION, fitted)
    else:
        (folder.path / CALIBRATION).unlink(missing_ok=True)  # of a run that was resumed without it
    bundle = None
    trainer.scorer.to(CPU)  # where bundles are made, and serve
    try:
        if trainer.export:
            with watch.part("export"), trainer.scorer.averaged():
                bundle = export_trained(trainer, result)
    finally:  # what was trained is worth a report also where it cannot be exported
        with watch.part("report"):
            folder.write_json("report.json", {"curves": curves, **_details(trainer)})
            report = write_report(folder.path)
    return Run(result, folder.path, bundle, report)


def export_trained(trainer: Trainer, metrics: Mapping[str, Any]) -> Path | None:
    """Write the bundle of what is trained now; None of a model that has none."""
    target = trainer.folder.path / "bundle"
    if trainer.sampled:
        assert trainer.matching is not None
        if trainer.experiment.model.searches == "codes":
            logger.info("%s", no_bundle(trainer.experiment))
            return None
        sources = trainer.matching.sources
        write = export_searching if trainer.experiment.model.searches else export_both
        return write(trainer.experiment, trainer.scorer, sources, target, metrics, overwrite=True)
    rows = export_rows(trainer.experiment, trainer.part)
    held_out = trainer.valid or trainer.test
    asked = None if held_out is None else held_out.__iter__
    options: dict[str, Any] = {"metrics": metrics, "overwrite": True, "held_out": asked}
    options["learned"] = partial(make_loader, trainer.experiment, trainer.part, training=False)
    return export_bundle(trainer.experiment, trainer.scorer, rows, target, **options)


def _measure(trainer: Trainer, loader: Loader) -> tuple[dict[str, float], dict[str, Any]]:
    """Metrics of a part, and by binary task what the report plots."""
    tasks = [task for task in trainer.experiment.tasks if task.type == "binary" and trainer.matching is None]
    curves = {task.name: Curves() for task in tasks}

    def watch(batch: Batch, predictions: Mapping[str, np.ndarray]) -> None:
        labels = {name: values.numpy() for name, values in batch.labels.items()}
        weights = None if batch.sample_weight is None else batch.sample_weight.numpy()
        for task in tasks:
            rows: Any = slice(None) if task.rows is None else task.rows.rows(labels)
            kept = None if weights is None else weights[rows]
            curves[task.name].update(labels[task.label][rows], predictions[task.name][rows], kept)

    values = trainer.measure(loader, watch)
    return values, {name: curve.compute() for name, curve in curves.items()}


def _details(trainer: Trainer) -> dict[str, Any]:
    experiment, watch = trainer.experiment, trainer.watch
    generator, plan = trainer.loader.generator, trainer.collection.plan
    raw = read_sample(trainer.part, SAMPLED_ROWS, raw_columns(generator, trainer.part.source))
    sample = generator.transform(raw, bad_rows="default", threads=trainer.threads)
    busy = watch.seconds.get("training", 0.0) + watch.seconds.get("waiting for data", 0.0)
    dense = sum(p.numel() for p in trainer.model.parameters())
    return {
        "features": [found.to_json() for found in statistics(sample, generator.outputs)],
        "sampled_rows": sample.num_rows,
        "tables": [{"name": t.name, "rows": t.rows, "dim": t.dim} for t in plan.tables],
        "environment": {**environment(), "threads": str(trainer.threads), "device": described(trainer.device)},
        "timings": {name: round(seconds, 3) for name, seconds in watch.seconds.items()},
        "training": {
            "model": experiment.model.type,
            "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "samples_per_second": round(trainer.learned / busy, 1) if busy else None,
            "parameters": dense + plan.parameters,
        },
    }
