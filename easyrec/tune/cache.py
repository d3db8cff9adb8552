"""Features that are made once for all trials, where no space changes what they are."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from easyrec.config import Experiment
from easyrec.config.statistic import StatisticConfig
from easyrec.config.tune import RowsConfig
from easyrec.data import PARTS, make_loader, open_sources
from easyrec.data.feed import feed_of
from easyrec.durable import write_text
from easyrec.processors import num_threads
from easyrec.train.taught import TEACHERS
from easyrec.tune.search import Search
from feature_generator import offline

logger = logging.getLogger("easyrec.tune")

CACHE = "features"
"""Folder of the features inside that of the study."""
SETTINGS = "settings.json"
FREE = ("data.batch_size", "data.eval_batch_size", "data.shuffle", "data.prefetch", "data.negative_sampling")
"""What spaces may change of the data without changing features."""


def obstacle(search: Search) -> str:
    """Why features are made anew in every trial; empty where they need not be."""
    first, config = search.first, search.config
    if not config.cache:
        return "tune.cache is false"
    if first.distill is not None:
        return "teachers read the rows themselves"
    if first.data.fg == "encoded":
        return "the data hold features already"
    if first.data.sampler is not None or first.eval.retrieval is not None or isinstance(first.model, StatisticConfig):
        return "a catalogue is read beside the rows"
    if {"latency_ms", "bundle_mb"} & {o.name for o in search.objectives}:
        return "bundles are made of raw rows"
    for parameter in search.parameters:
        section = parameter.path[0]
        if section == "features" or (section == "data" and not parameter.name.startswith(FREE)):
            return f"'{parameter.name}' is searched"
    return ""


def make_cache(search: Search, folder: Path, data: Mapping[str, Any] | None) -> dict[str, Any]:
    """Write the features of all parts, where they are not there; the settings that let trials read them.

    Raises:
        DataError: A row cannot be used.
    """
    target = folder / CACHE
    if (target / SETTINGS).is_file():
        return read_cache(folder)
    why = obstacle(search)
    if why:
        logger.info("features are made in every trial: %s", why)
        return {}
    shutil.rmtree(target, ignore_errors=True)  # of a process that was killed
    target.mkdir()
    settings = write_features(search.first, target, data, columns(search))
    write_text(target / SETTINGS, json.dumps(settings, indent=1) + "\n")
    return settings


def write_features(
    experiment: Experiment, target: Path, data: Mapping[str, Any] | None, reserve: Sequence[str]
) -> dict[str, Any]:
    """Write the features of `train` and `valid`; the settings that let a config read them.

    Args:
        experiment: Whose features.
        target: Folder to write into.
        data: Rows by part that stand in for the config's.
        reserve: Raw columns that are passed through.

    Raises:
        DataError: A row cannot be used.
    """
    settings: dict[str, Any] = {"data.fg": "encoded"}
    sources = open_sources(experiment, data)
    for name in PARTS if experiment.data.split is None else ("train",):
        part = getattr(sources, name)
        if part is None or name == "test":  # nobody looks at test before all is decided
            continue
        path = target / f"{name}.parquet"
        offline.run(
            experiment.generator,
            feed_of(part.source),
            path,
            reserve=[column for column in reserve if column in part.columns],
            threads=experiment.train.threads or num_threads(),
            bad_rows=experiment.data.bad_rows,
        )
        part.source.close()
        settings[f"data.{name}"] = {"type": "parquet", "path": str(path.absolute())}
    if experiment.data.split is None:
        settings["data.test"] = None
    return settings


def refuse_parts(experiment: Experiment, data: Mapping[str, Any] | None) -> None:
    """Refuse data that lack what is read of them, as a training would, before a folder is made that would hold this config.

    Raises:
        ConfigError: A part lacks a column.
    """
    sources = open_sources(experiment, data)
    for name in ("train", "valid") if experiment.data.split is None else ("train",):
        part = getattr(sources, name)
        if part is not None:
            make_loader(experiment, part, training=name == "train")
            part.source.close()


def read_cache(folder: Path) -> dict[str, Any]:
    """The settings that let trials read the features of the folder; empty where there are none."""
    file = folder / CACHE / SETTINGS
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found


def teachers(search: Search, folder: Path) -> dict[str, Any]:
    """The setting that lets trials share what teachers say; empty where there are none, or where the config has it."""
    distill = search.first.distill
    return {} if distill is None or distill.cache else {"distill.cache": str((folder / TEACHERS).absolute())}


def columns(search: Search) -> list[str]:
    """Raw columns that trials read beside the features, whatever is drawn."""
    found: list[str] = []
    for experiment in search.options():
        found += raw_columns(experiment, search.config.rows)
    return list(dict.fromkeys(found))


def raw_columns(experiment: Experiment, rows: RowsConfig | None = None) -> list[str]:
    """Raw columns that an experiment reads beside the features; some may be listed twice."""
    data, shuffle = experiment.data, experiment.shuffle
    names = [*data.labels, *data.reserved, *experiment.eval.columns(experiment.tasks), *experiment.training_columns]
    names += [name for name in (data.sample_weight, data.event_time, shuffle and shuffle.together) if name]
    names += [data.split.column] if data.split else []
    names += [rows.column] if rows is not None and rows.column else []
    names += [data.leakage.time, *data.leakage.sequences] if data.leakage else []
    return names
