"""`easyrec.cross`: search features of a config, and write the config with those that gain."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from easyrec.config import Experiment, load_experiment
from easyrec.config.cross import CrossConfig, TimeCheckConfig
from easyrec.config.statistic import StatisticConfig
from easyrec.durable import write_text
from easyrec.errors import ConfigError, Problem, TuneError, nearest
from easyrec.finite import finite
from easyrec.train.interrupt import Interrupted, StopRequest
from easyrec.train.run_folder import RunFolder, read_json, run_path
from easyrec.tune.cross.found import Crossed
from easyrec.tune.cross.outputs import BEST, REPORT, TABLES, costed, write_best, write_proposals, write_report
from easyrec.tune.cross.rows import Reader
from easyrec.tune.cross.search import search
from easyrec.tune.cross.session import Session
from easyrec.tune.study import differences
from feature_generator.fitting.learned import carry

logger = logging.getLogger("easyrec.tune")

STATE = "search.json"
"""In the folder: what is done, so that the same command goes on."""


def cross(
    config: str | os.PathLike[str] | Mapping[str, Any],
    *,
    data: Mapping[str, Any] | None = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    plugins: Sequence[str | os.PathLike[str]] = (),
    run_dir: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Crossed:
    """Search features: crosses, boundaries, aggregates, hash sizes; or go on with a search that was stopped.

    Args:
        config: A YAML, its content as a dict, or the folder of a search.
        data: Rows by part (`train`, `valid`) that stand in for the config's.
        overrides: Settings laid over the config.
        plugins: Files and packages with more models, losses, features, ..., see `feature_generator.config.plug`.
        run_dir: Folder of the search; default `runs/<name>-cross`.
        overwrite: Start over, and remove what is in the folder.

    Returns:
        The proposals, and where the config with those that were accepted is.

    Raises:
        ConfigError: The config cannot work, or asks for what cannot be searched.
        DataError: A row cannot be used.
        TuneError: The folder holds the search of another config.
        Interrupted: A signal came; `best.yaml` and the table are there, and the same call goes on.
    """
    experiment = load_experiment(config, overrides, plugins=plugins)
    reader = Reader(experiment, data)
    refuse_unfit(experiment, reader)
    folder = _folder(config, experiment, run_dir)
    with RunFolder(folder, resume=not overwrite, overwrite=overwrite) as run, StopRequest() as stop:
        state = _state(folder, experiment)
        _describe(run, experiment)
        try:
            return _searched(folder, experiment, reader, state, stop)
        except KeyboardInterrupt:
            if stop.name is None:
                raise
            raise Interrupted("stopped while rows were read. To go on: the same command") from None


def _searched(
    folder: Path, experiment: Experiment, reader: Reader, state: dict[str, Any], stop: StopRequest
) -> Crossed:
    def stopped() -> bool:
        return stop.name is not None

    def keep(name: str, text: str) -> str:
        (folder / TABLES).mkdir(exist_ok=True)
        write_text(folder / TABLES / name, text)
        return str((folder / TABLES / name).absolute())

    def told() -> None:
        state["seconds"] = session.seconds
        write_text(folder / STATE, json.dumps(finite(state)) + "\n")
        taken = write_best(folder, experiment, session.accepted, f"{experiment.name}: so far")
        write_proposals(folder, [*taken, *(p for p in session.proposals if not p.accepted)])

    if not (folder / BEST).exists():
        write_best(folder, experiment, [], f"{experiment.name}: nothing was searched yet")
    logger.info("%d columns; reading data.train", len(reader.columns))
    searched = reader.read(stopped=stopped)
    for name, why in searched.left_out.items():
        logger.info("the probes do without '%s': %s", name, why)
    session = Session(searched, state["done"], keep, told, stopped, float(state["seconds"]))
    told()
    search(session)
    proposals = write_best(folder, experiment, costed(session.settled, session), _about(experiment, session))
    write_proposals(folder, proposals)
    write_report(folder, session, proposals, experiment.name)
    crossed = Crossed(folder, folder / BEST, folder / REPORT, proposals, session.quality(), session.seconds)
    if session.unfinished == "interrupted":
        raise Interrupted(_stopped(crossed))
    return crossed


def _about(experiment: Experiment, session: Session) -> str:
    """The first line of `best.yaml`."""
    told = [f"{len(session.accepted)} features accepted"]
    for name, found in session.quality().items():
        where = "valid" if name == "valid" else "the newest rows of train"
        told.append(f"AUC of the probes on {where} {found['auc_before']:.5f} -> {found['auc_after']:.5f}")
    return f"{experiment.name}: {', '.join(told)}"


def _stopped(crossed: Crossed) -> str:
    count = len(crossed.accepted)
    return (
        f"stopped with {count} feature{'s' * (count != 1)}; the config is {crossed.config}. To go on: the same command"
    )


def _folder(config: Any, experiment: Experiment, run_dir: str | os.PathLike[str] | None) -> Path:
    if run_dir is not None:
        return Path(run_dir)
    if not isinstance(config, Mapping) and Path(config).is_dir():
        return Path(config)
    return run_path(f"{experiment.name}-cross")


def _state(folder: Path, experiment: Experiment) -> dict[str, Any]:
    """What an earlier process has done in the folder.

    Raises:
        TuneError: It was of another config; or the folder holds something else.
    """
    settings = _settings(experiment)
    found: dict[str, Any] | None = read_json(folder / STATE)
    if found is None:
        others = sorted(entry.name for entry in folder.iterdir() if entry.name not in (".lock", "config.yaml"))
        if others:
            raise TuneError(
                f"{folder}: holds no search of features, but {', '.join(others[:3])}: choose another folder"
            )
        return {"settings": settings, "seconds": 0.0, "done": {}}
    differing = differences(found["settings"], json.loads(json.dumps(finite(settings))))
    if differing:
        text = f"{folder}: holds the search of another config, which differs in: {', '.join(differing)}"
        raise TuneError(f"{text}\nstart over (--overwrite), or choose another folder (--run-dir)")
    return found


def _settings(experiment: Experiment) -> dict[str, Any]:
    """What makes searches one."""
    section = (experiment.sections.cross or CrossConfig()).model_dump(mode="json", exclude={"minutes"})
    raw = experiment.resolved()
    return {"data": raw["data"], "features": raw["features"], "model": raw["model"], "cross": section}


def _describe(run: RunFolder, experiment: Experiment) -> None:
    raw = {key: value for key, value in experiment.resolved().items() if key != "base"}
    run.write_text("config.yaml", yaml.safe_dump(raw, sort_keys=False, allow_unicode=True, width=120))
    carry(experiment.features, run.path / "config.yaml")


def refuse_unfit(experiment: Experiment, reader: Reader) -> None:
    """Refuse what cannot be searched.

    Raises:
        ConfigError: All of it.
    """
    problems = []
    task = experiment.tasks[0]
    if isinstance(experiment.model, StatisticConfig) or experiment.data.sampler is not None:
        text = f"'{experiment.model.type}' compares items, and features are judged by how well they tell a label"
        problems.append(Problem(f"{text}\nsearch with a model that scores rows", "model"))
    elif task.type != "binary":
        problems.append(
            Problem(f"features are judged by a label of 0 and 1, and '{task.name}' is {task.type}", "model")
        )
    if experiment.data.fg == "encoded":
        problems.append(Problem("features are searched on raw columns, and the data hold encoded ones", "data.fg"))
    if not reader.columns:
        problems.append(Problem("no feature of the model reads a column of ids or numbers: name some", "cross.columns"))
    problems += _unknown_names(reader)
    if problems:
        raise experiment.placed(ConfigError(problems))


def _unknown_names(reader: Reader) -> list[Problem]:
    """Names in the section that nothing is called by."""
    words = [name for name, column in reader.columns.items() if column.kind == "words"]
    config = reader.config
    asked: list[tuple[str, str]] = []
    check = config.time_check
    if isinstance(check, TimeCheckConfig):
        asked += [(name, f"cross.time_check.keys.{i}") for i, name in enumerate(check.keys or ())]
    if config.aggregates:
        keys = config.aggregates.keys or []
        asked += [(name, f"cross.aggregates.keys.{i}.{j}") for i, key in enumerate(keys) for j, name in enumerate(key)]
    found = []
    if isinstance(check, TimeCheckConfig):
        known = {name for column in reader.columns.values() for name in (column.name, column.raw)}
        told = [(name, f"cross.time_check.trust.{i}") for i, name in enumerate(check.trust)]
        told += [(name, f"cross.time_check.available_at.{name}") for name in check.available_at]
        for name, where in told:
            if name not in known:
                found.append(Problem(f"no column that is searched is called '{name}'{nearest(name, known)}", where))
    return found + [
        Problem(f"no column of ids is called '{name}'{nearest(name, words)}\nknown: {', '.join(words)}", where)
        for name, where in asked
        if name not in words
    ]
