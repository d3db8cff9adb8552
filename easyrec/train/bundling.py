"""A run's checkpoint as a bundle: what to take for warming up, and exporting after training."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from easyrec.config import Experiment
from easyrec.config.parts import NO_ITEMS, NO_ROWS
from easyrec.data import Part, Sources, open_sources
from easyrec.data.intake import raw_columns
from easyrec.data.sample import read_sample
from easyrec.data.sides import Sides
from easyrec.errors import BundleError, ConfigError, DataError, RunError
from easyrec.export import export_bundle
from easyrec.export.bundle import Bundle
from easyrec.export.towers import export_towers
from easyrec.export.warmup import FOLDER, WarmupRows
from easyrec.models._matching import Matching
from easyrec.train.restore import restore
from easyrec.train.run import Run
from easyrec.train.run_folder import read_json
from easyrec.train.scorer import Scorer

logger = logging.getLogger("easyrec.train")

SPARE = 4
"""Rows read for each that a bundle keeps: those with a bad value cannot be kept."""


def export_rows(experiment: Experiment, part: Part) -> pa.Table:
    """Raw rows of a part for a bundle to choose from, spread over its source."""
    return read_sample(part, SPARE * experiment.export.warmup_rows, raw_columns(experiment.generator, part.source))


def no_bundle(experiment: Experiment) -> str:
    """Why a model that writes the codes of items has no bundle, and what to do."""
    text = (
        f"'{experiment.model.type}' finds items by a search over the codes that it writes, which is no stored program: "
    )
    return f"{text}it has no bundle\nfind items with the run itself: easyrec retrieve -c its folder --users ..."


def export_run(
    experiment: Experiment,
    run_dir: Path,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    data: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Run:
    """Write the bundle of a trained run.

    Args:
        experiment: What was trained there.
        run_dir: Folder of the run.
        checkpoint: Folder of the checkpoint; default: the best of the run, else the newest.
        output: Where the bundle goes; default: `bundle` in the folder of the run.
        data: Rows by part that stand in for the config's; where no rows for warming up can be read, those of the
            bundle that training wrote are taken.
        overwrite: Replace a bundle that is there.

    Raises:
        RunError: There is no such run, or the bundle exists.
        CheckpointError: The checkpoint is damaged, or of another model.
        ConfigError, DataError: No rows for warming up can be read, and there is no bundle to take some of.
        BundleError: There is one, and it is damaged or too new.
    """
    if experiment.model.generative:
        raise RunError(no_bundle(experiment))
    scorer = restore(experiment, run_dir, checkpoint)
    if experiment.data.sampler is not None:
        sources = open_sources(experiment, data)
        found = read_json(run_dir / "metrics.json") or {}
        path = Path(output) if output is not None else run_dir / "bundle"
        with scorer.averaged():
            return Run(found, run_dir, export_both(experiment, scorer, sources, path, found, overwrite=overwrite))
    target = Path(output) if output is not None else run_dir / "bundle"
    metrics = read_json(run_dir / "metrics.json") or {}
    rows = _rows(experiment, run_dir, data)
    with scorer.averaged():
        bundle = export_bundle(experiment, scorer, rows, target, metrics=metrics, overwrite=overwrite)
    return Run(metrics, run_dir, bundle)


def export_both(
    experiment: Experiment,
    scorer: Scorer,
    sources: Sources,
    directory: Path,
    metrics: Mapping[str, Any],
    *,
    overwrite: bool,
) -> Path:
    """Write the two towers of a matching model, warmed up with rows of training and of the catalogue.

    Averages must be in place where there are any.

    Raises:
        ConfigError: A source is missing.
    """
    if sources.train is None or sources.items is None:
        raise experiment.placed(ConfigError([NO_ROWS if sources.train is None else NO_ITEMS]))
    parts, sides = {"user": sources.train, "item": Part(sources.items)}, Sides(experiment)

    def rows(side: Literal["user", "item"]) -> pa.Table:
        part = parts[side]
        columns = raw_columns(sides.generator(side), part.source)
        return read_sample(part, SPARE * experiment.export.warmup_rows, columns)

    assert isinstance(scorer.model, Matching)
    options: dict[str, Any] = {"metrics": metrics, "overwrite": overwrite}
    return export_towers(experiment, scorer.model, scorer.collection, rows, directory, **options)


def _rows(experiment: Experiment, run_dir: Path, data: Mapping[str, Any] | None) -> Any:
    try:
        part = open_sources(experiment, data).train
        if part is None:
            raise DataError("there are no rows for warming up: the run has no data.train, give some as `data`")
        return export_rows(experiment, part)
    except (ConfigError, DataError) as error:
        bundle = run_dir / "bundle"
        if not bundle.is_dir():
            raise
        try:
            kept = WarmupRows.load(Bundle.open(bundle).folder(FOLDER)).rows
        except BundleError as damage:
            text = f"{damage}\nits rows for warming up were to stand in for those of data.train: {error}"
            raise BundleError(text) from error
        logger.warning("warming up with the rows of the run's own bundle: %s", error)
        return kept
