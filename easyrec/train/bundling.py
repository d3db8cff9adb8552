"""A run's checkpoint as a bundle: what to take for warming up, and exporting after training."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from easyrec.batch import Batch
from easyrec.config import Experiment
from easyrec.config.parts import NO_ITEMS, NO_ROWS
from easyrec.data import Part, Sources, make_loader, open_sources
from easyrec.data.catalogue import read_catalogue
from easyrec.data.intake import raw_columns
from easyrec.data.sample import read_sample
from easyrec.data.sides import Sides
from easyrec.errors import BundleError, ConfigError, DataError, RunError
from easyrec.export import export_bundle
from easyrec.export.bundle import Bundle
from easyrec.export.manifest import PATH, SearchEntry
from easyrec.export.towers import SIDES, Side, export_towers
from easyrec.export.warmup import FOLDER, WarmupRows
from easyrec.models._matching import Matching
from easyrec.train.codes import known_codes
from easyrec.train.restore import restore
from easyrec.train.run import Run
from easyrec.train.run_folder import read_json
from easyrec.train.scorer import Scorer

logger = logging.getLogger("easyrec.train")

ITEMS = "items.parquet"
"""Of the bundle of a model that searches a tree: its items."""
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
    if experiment.model.searches == "codes":
        raise RunError(no_bundle(experiment))
    scorer = restore(experiment, run_dir, checkpoint)
    target = Path(output) if output is not None else run_dir / "bundle"
    metrics = read_json(run_dir / "metrics.json") or {}
    if experiment.model.searches:
        own = run_dir / "bundle"
        rows = _rows(own, lambda: searching_rows(experiment, open_sources(experiment, data)))
        items = _items(own, lambda: searched_items(experiment, scorer, open_sources(experiment, data)))
        with scorer.averaged():
            return Run(
                metrics, run_dir, _searching(experiment, scorer, rows, items, target, metrics, overwrite=overwrite)
            )
    if experiment.data.sampler is not None:
        own = run_dir / "bundle"
        rows = {side: _rows(own / side, partial(_rows_of_side, experiment, data, side)) for side in SIDES}
        with scorer.averaged():
            return Run(metrics, run_dir, _towers(experiment, scorer, rows, target, metrics, overwrite=overwrite))
    found = _rows(run_dir / "bundle", partial(_rows_of_run, experiment, data))
    options: dict[str, Any] = {"metrics": metrics, "overwrite": overwrite}
    options |= {"held_out": partial(_held_out, experiment, data), "learned": partial(_learned, experiment, data)}
    with scorer.averaged():
        bundle = export_bundle(experiment, scorer, found, target, **options)
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
    rows = {side: tower_rows(experiment, sources, side) for side in SIDES}
    return _towers(experiment, scorer, rows, directory, metrics, overwrite=overwrite)


def export_searching(
    experiment: Experiment,
    scorer: Scorer,
    sources: Sources,
    directory: Path,
    metrics: Mapping[str, Any],
    *,
    overwrite: bool,
) -> Path:
    """Write the bundle of a model that searches a tree, with the items, warmed up with users of training and such items.

    Averages must be in place where there are any.

    Raises:
        ConfigError: A source is missing.
    """
    rows, items = searching_rows(experiment, sources), searched_items(experiment, scorer, sources)
    return _searching(experiment, scorer, rows, items, directory, metrics, overwrite=overwrite)


def searching_rows(experiment: Experiment, sources: Sources) -> pa.Table:
    """Raw rows of users of training, each with an item of the catalogue.

    Raises:
        ConfigError: A source is missing.
    """
    users, items = (tower_rows(experiment, sources, side) for side in SIDES)
    if users.num_rows and items.num_rows:
        items = items.take(pa.array(np.arange(users.num_rows) % items.num_rows))
        for name in items.column_names:
            users = users.append_column(name, items.column(name))
    return users


def searched_items(experiment: Experiment, scorer: Scorer, sources: Sources) -> pa.Table:
    """The ids of the items that a model knows, and their paths in its tree.

    Raises:
        ConfigError: There is no catalogue.
    """
    if sources.items is None:
        raise experiment.placed(ConfigError([NO_ITEMS]))
    sides = Sides(experiment)
    catalogue = read_catalogue(sources.items, sides)
    (column, *_) = raw_columns(sides.generator("item"), sources.items)
    paths = known_codes(scorer.collection, experiment, catalogue)
    known = np.flatnonzero((paths >= 0).all(axis=1))
    lists = pa.FixedSizeListArray.from_arrays(pa.array(paths[known].astype(np.int32).reshape(-1)), paths.shape[1])
    return pa.table([catalogue.ids.take(pa.array(known)), lists], names=[column, PATH])


def _searching(
    experiment: Experiment,
    scorer: Scorer,
    rows: pa.Table,
    items: pa.Table,
    directory: Path,
    metrics: Mapping[str, Any],
    *,
    overwrite: bool,
) -> Path:
    model: Any = experiment.model
    sides, (group,) = Sides(experiment), model.item_groups
    entry = SearchEntry(
        items=ITEMS,
        inputs=f"emb:{group}",
        beam=model.beam,
        branching=model.tree.branching,
        sequence=f"user/{model.groups['user'].sequences[0].key}",
        history=model.history,
    )
    generator = experiment.generator.only({*sides.users, *sides.items})
    options: dict[str, Any] = {"metrics": metrics, "overwrite": overwrite, "generator": generator}
    return export_bundle(experiment, scorer, rows, directory, search=(entry, items), **options)


def _items(bundle: Path, read: Callable[[], pa.Table]) -> pa.Table:
    """The items; where they cannot be read, those of the bundle that training wrote."""
    try:
        return read()
    except (ConfigError, DataError):
        if not bundle.is_dir():
            raise
        return pq.read_table(Bundle.open(bundle).file(ITEMS))


def tower_rows(experiment: Experiment, sources: Sources, side: Side) -> pa.Table:
    """Raw rows of one side for a bundle to choose from: users of training, or items of the catalogue.

    Raises:
        ConfigError: The source is missing.
    """
    part = sources.train if side == "user" else None if sources.items is None else Part(sources.items)
    if part is None:
        raise experiment.placed(ConfigError([NO_ROWS if side == "user" else NO_ITEMS]))
    columns = raw_columns(Sides(experiment).generator(side), part.source)
    return read_sample(part, SPARE * experiment.export.warmup_rows, columns)


def _towers(
    experiment: Experiment,
    scorer: Scorer,
    rows: Mapping[Side, pa.Table],
    directory: Path,
    metrics: Mapping[str, Any],
    *,
    overwrite: bool,
) -> Path:
    assert isinstance(scorer.model, Matching)
    options: dict[str, Any] = {"metrics": metrics, "overwrite": overwrite}
    return export_towers(experiment, scorer.model, scorer.collection, rows.__getitem__, directory, **options)


def _rows_of_run(experiment: Experiment, data: Mapping[str, Any] | None) -> pa.Table:
    part = open_sources(experiment, data).train
    if part is None:
        raise DataError("there are no rows for warming up: the run has no data.train, give some as `data`")
    return export_rows(experiment, part)


def _held_out(experiment: Experiment, data: Mapping[str, Any] | None) -> Iterator[Batch]:
    """Rows with labels that training did not learn from; none, where none can be read any more."""
    try:
        sources = open_sources(experiment, data)
    except (ConfigError, DataError) as error:
        logger.warning("lossy precisions are measured on the rows for warming up alone: %s", error)
        return
    part = sources.valid or sources.test
    if part is not None:
        yield from make_loader(experiment, part, training=False)


def _learned(experiment: Experiment, data: Mapping[str, Any] | None) -> Iterator[Batch]:
    """The rows of training, each once.

    Raises:
        ConfigError, DataError: They cannot be read.
    """
    part = open_sources(experiment, data).train
    if part is None:
        raise DataError("what 'export.compress' leaves out depends on the rows of training, and there is no data.train")
    yield from make_loader(experiment, part, training=False)


def _rows_of_side(experiment: Experiment, data: Mapping[str, Any] | None, side: Side) -> pa.Table:
    return tower_rows(experiment, open_sources(experiment, data), side)


def _rows(bundle: Path, read: Callable[[], Any]) -> Any:
    """Rows for warming up; where none can be read, those of the bundle that training wrote."""
    try:
        return read()
    except (ConfigError, DataError) as error:
        if not bundle.is_dir():
            raise
        try:
            kept = WarmupRows.load(Bundle.open(bundle).folder(FOLDER)).rows
        except BundleError as damage:
            text = f"{damage}\nits rows for warming up were to stand in for those that cannot be read: {error}"
            raise BundleError(text) from error
        logger.warning("warming up with the rows of the run's own bundle: %s", error)
        return kept
