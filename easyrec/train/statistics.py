"""The road of item-to-item statistics: one pass over the rows, then the same measures, folders and files as any run."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from tqdm import tqdm

from easyrec.batch import Batch
from easyrec.config import Experiment
from easyrec.config.parts import NO_ROWS
from easyrec.config.statistic import StatisticConfig
from easyrec.data import Part, Source, Sources, open_sources
from easyrec.data.catalogue import rows_of, single
from easyrec.data.intake import raw_columns
from easyrec.data.positions import steps
from easyrec.data.sides import Sides
from easyrec.errors import ConfigError, DataError, Problem, RunError
from easyrec.export.statistic import Counted, read_counted, write_counted
from easyrec.processors import num_threads
from easyrec.report import write_report
from easyrec.report.environment import environment
from easyrec.statistics import build
from easyrec.statistics._statistic import Known, Taken
from easyrec.train.matching import Matching
from easyrec.train.memory import kept_memory
from easyrec.train.progress import duration
from easyrec.train.retrieve import answered, spared_of
from easyrec.train.run import Run
from easyrec.train.run_folder import RunFolder, read_json
from easyrec.train.stopwatch import Stopwatch

logger = logging.getLogger("easyrec.train")

CHECKPOINT = "statistic"
"""Its folder among the run's checkpoints."""


def user_feature(sides: Sides) -> str:
    """What a user is known by: a child of a sequence whose steps are items, or an id."""
    groups = sides.experiment.model.groups or {}
    return sides.sequence or groups[sides.user_groups[0]].features[0]


def train_statistic(
    experiment: Experiment,
    run_dir: Path,
    *,
    data: Mapping[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    bar: bool | None = None,
    export: bool = True,
) -> Run:
    """Count, evaluate, export, report. A run that was stopped has nothing to go on from: `resume` starts it anew.

    Raises:
        ConfigError: Config and data do not fit.
        DataError: There is nothing to count, or a row cannot be used.
        RunError: The folder is taken, or the disk refuses.
    """
    watch = Stopwatch()
    folder = RunFolder(run_dir, resume=resume, overwrite=overwrite)
    sources = open_sources(experiment, data)
    if sources.train is None:
        raise experiment.placed(ConfigError([NO_ROWS]))
    for doubt in experiment.doubts(data or ()):
        logger.warning("%s", doubt)
    matching = Matching(experiment, sources)
    with folder, kept_memory(), watch.part("other"):
        folder.describe(experiment)
        counted = _counted(experiment, matching, bar=sys.stderr.isatty() if bar is None else bar, watch=watch)
        write_counted(experiment, counted, folder.checkpoints / CHECKPOINT, overwrite=True)
        found: dict[str, Any] = dict(_measured(matching, counted, sources, ("valid", "test"), watch))
        found |= {"best_step": 0, "seconds": round(watch.elapsed, 3)}
        folder.write_json("metrics.json", found)
        bundle = None
        if export:
            with watch.part("export"):
                target = folder.path / "bundle"
                bundle = write_counted(experiment, counted, target, listed=True, metrics=found, overwrite=True)
        details = {
            "environment": {**environment(), "threads": str(counted.threads)},
            "timings": {name: round(seconds, 3) for name, seconds in watch.seconds.items()},
            "training": {
                "model": experiment.model.type,
                "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "parameters": int(counted.links.values.size + counted.bias.size),
            },
        }
        folder.write_json("report.json", details)
        return Run(found, folder.path, bundle, write_report(folder.path))


def restore_statistic(
    experiment: Experiment, run_dir: Path, checkpoint: str | os.PathLike[str] | None = None
) -> Counted:
    """The statistic of a run.

    Args:
        experiment: What was counted there.
        run_dir: Folder of the run.
        checkpoint: Folder of another one, such as a bundle.

    Raises:
        RunError: There is no such run.
        BundleError, CheckpointError: It is damaged, or of other features.
    """
    folder = run_dir / "checkpoints" / CHECKPOINT if checkpoint is None else Path(checkpoint)
    if checkpoint is None and not folder.is_dir():
        raise RunError(f"{run_dir}: holds no statistic; train first, or name one as the checkpoint")
    return read_counted(folder, experiment, _threads(experiment))


def evaluate_statistic(
    experiment: Experiment,
    run_dir: Path,
    data: Mapping[str, Any] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Run:
    """All metrics of a run's statistic on `valid` and `test`, or on the parts of `data`.

    Raises:
        RunError: The catalogue is another one.
        ConfigError: There is nothing to evaluate on.
    """
    counted = restore_statistic(experiment, run_dir, checkpoint)
    sources = open_sources(experiment, data)
    matching = Matching(experiment, sources)
    if not np.array_equal(single(matching.catalogue.table, matching.catalogue.key), counted.keys):
        raise RunError(f"{run_dir}: was counted over other items than those of data.items; train anew")
    parts = [part for part in data or () if part in ("train", "valid", "test")] or ("valid", "test")
    found = _measured(matching, counted, sources, parts, Stopwatch())
    if not found:
        raise ConfigError([Problem("there is neither data.valid nor data.test to evaluate on", "data")])
    return Run(found, run_dir)


def export_statistic(
    experiment: Experiment,
    run_dir: Path,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Run:
    """Write the bundle of a run's statistic: the matrix, the items, and `neighbours.parquet`."""
    counted = restore_statistic(experiment, run_dir, checkpoint)
    metrics = read_json(run_dir / "metrics.json") or {}
    target = run_dir / "bundle" if output is None else Path(output)
    write_counted(experiment, counted, target, listed=True, metrics=metrics, overwrite=overwrite)
    return Run(metrics, run_dir, target)


def retrieved_by_statistic(
    experiment: Experiment, counted: Counted, part: Part | Source, k: int, exclude: str | None = None
) -> Iterator[pa.Table]:
    """Batch by batch: `data.reserved` columns, `items` and `scores`, the best first; as `retrieved` has them."""
    feature = user_feature(Sides(experiment))

    def best(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        histories = counted.histories(batch, feature)
        spared, whom = spared_of(batch, exclude)
        spared = counted.find(spared)
        step = max((1 << 24) // len(counted.keys), 1)
        found = []
        for start in range(0, max(len(histories), 1), step):
            scores = counted.scores(histories[start : start + step])
            here = (whom >= start) & (whom < start + step) & (spared >= 0)
            scores[whom[here] - start, spared[here]] = -np.inf
            values, numbers = torch.from_numpy(scores).topk(min(k, len(counted.keys)), dim=1)
            found.append((numbers.masked_fill(values == -torch.inf, -1).numpy(), values.numpy()))
        return np.concatenate([numbers for numbers, _ in found]), np.concatenate([values for _, values in found])

    return answered(experiment, part, {feature, *([exclude] if exclude else [])}, counted.ids, best)


# -------------------------------------------------------------------------------------------------- counting


def _threads(experiment: Experiment) -> int:
    return experiment.train.threads or num_threads()


def _counted(experiment: Experiment, matching: Matching, *, bar: bool, watch: Stopwatch) -> Counted:
    """The statistic of the rows of training."""
    config, catalogue = experiment.model, matching.catalogue
    assert isinstance(config, StatisticConfig)
    with watch.part("reading"):
        taken, known = _taken(experiment, matching, bar=bar)
    threads = _threads(experiment)
    logger.info("%s interactions of %s users", f"{len(taken.items):,}", f"{len(taken.offsets) - 1:,}")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with watch.part("counting"):
            links, bias = build(config, threads, experiment.train.seed).fit(taken)
    finally:
        torch.set_num_threads(before)
    logger.info(
        "%s entries of %s items in %s", f"{links.values.size:,}", f"{len(bias):,}", duration(watch.seconds["counting"])
    )
    assert matching.sources.items is not None
    (column, *_) = raw_columns(experiment.generator.only([catalogue.key]), matching.sources.items)
    keys = single(catalogue.table, catalogue.key)
    return Counted(
        links, bias, config.recency, config.repeats, column, catalogue.ids, keys, known=known, threads=threads
    )


def _taken(experiment: Experiment, matching: Matching, *, bar: bool) -> tuple[Taken, Known | None]:
    """What users took, and the users where they are known by ids."""
    sides, catalogue, part = matching.sides, matching.catalogue, matching.sources.train
    assert part is not None
    feature = user_feature(sides)
    generator = experiment.generator.only([feature] if sides.sequence else [feature, sides.key])
    numbers, users, dropped = [], [], 0
    with tqdm(total=part.source.num_rows, unit="rows", disable=not bar, leave=False) as shown:
        for rows in rows_of(part, generator, bad_rows=experiment.data.bad_rows):
            if sides.sequence:
                keys, offsets = steps(rows.table, feature)
                ids = np.diff(offsets)
            else:
                keys, ids = single(rows.table, sides.key), single(rows.table, feature)
            found = catalogue.find(keys)
            kept = found >= 0
            dropped += len(found) - int(kept.sum())
            if sides.sequence:
                ids = np.diff(np.concatenate([[0], np.cumsum(kept)])[offsets])
            numbers.append(found[kept].astype(np.int32))
            users.append(ids if sides.sequence else ids[kept])
            shown.update(rows.table.num_rows)
    items = np.concatenate(numbers) if numbers else np.zeros(0, np.int32)
    if not len(items):
        raise DataError("there is nothing to count: no row names an item of data.items", file="data.train")
    if dropped:
        logger.warning("%s steps of items that data.items does not have are left out", f"{dropped:,}")
    told = np.concatenate(users)
    if sides.sequence:
        return Taken(items, np.concatenate([[0], np.cumsum(told)]).astype(np.int64), len(catalogue)), None
    known = Known.of(told, items, len(catalogue))
    return known.taken, known


def _measured(
    matching: Matching, counted: Counted, sources: Sources, parts: Iterable[str], watch: Stopwatch
) -> dict[str, dict[str, float]]:
    feature, found = user_feature(matching.sides), {}
    for name in parts:
        part = getattr(sources, name)
        if part is None:
            continue
        loader = matching.asked(part)
        with watch.part("evaluation"):
            found[name] = matching.ranked(counted.scores, lambda batch: counted.histories(batch, feature), loader)
        if loader.report.num_bad:
            logger.warning("%s: %s", name, loader.report.summary())
    return found
