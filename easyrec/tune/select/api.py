"""`easyrec.select`: find the features that a config can do without."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from easyrec.config import Experiment, load_experiment
from easyrec.config.experiment import read_document
from easyrec.config.select import SelectConfig
from easyrec.config.statistic import StatisticConfig
from easyrec.errors import ConfigError, Problem, TuneError
from easyrec.train.interrupt import Interrupted
from easyrec.train.run_folder import RunFolder, run_path
from easyrec.tune.cache import refuse_parts
from easyrec.tune.select.outputs import BEST, REPORT, TABLE, rows_of, write_best, write_report, write_table
from easyrec.tune.select.selected import Selected
from easyrec.tune.select.study import MEASURED, Study
from easyrec.tune.select.units import misnamed
from easyrec.tune.study import differences
from easyrec.tune.work import quiet
from feature_generator.config import Document
from feature_generator.fitting.learned import carry

logger = logging.getLogger("easyrec.tune")

CONFIG = "config.yaml"


def select(
    config: str | os.PathLike[str] | Mapping[str, Any],
    *,
    data: Mapping[str, Any] | None = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    plugins: Sequence[str | os.PathLike[str]] = (),
    run_dir: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Selected:
    """Find the features that a config can do without, or go on with it: at any moment it may be stopped, and called again.

    Args:
        config: A YAML, its content as a dict, or the folder of a selection.
        data: Rows by part (`train`, `valid`) that stand in for the config's.
        overrides: Settings laid over the config.
        plugins: Files and packages with more models, losses, features, ..., see `feature_generator.config.plug`.
        run_dir: Folder of the selection; default `runs/<name>-select`.
        overwrite: Start over, and remove what is in the folder.

    Returns:
        The features, what each is worth, and where the config without the removed ones is.

    Raises:
        ConfigError: The config is not valid, or is of a model whose features cannot be told apart.
        DataError: A row cannot be used.
        TuneError: The folder holds another config's selection.
        Interrupted: A signal came; `best.yaml` and the table are there, and the same call goes on.
    """
    experiment = load_experiment(config, overrides, plugins=plugins)
    refuse_unfit(experiment, list(data or {}))
    folder = _folder(config, experiment, run_dir)
    written = _written(experiment)
    _refuse_others(folder, written, overwrite=overwrite)
    if overwrite or not (folder / MEASURED).is_dir():
        refuse_parts(experiment, data)
    with RunFolder(folder, resume=not overwrite, overwrite=overwrite) as run, quiet():
        (folder / MEASURED).mkdir(exist_ok=True)
        run.write_text(CONFIG, yaml.safe_dump(written.raw, sort_keys=False, allow_unicode=True, width=120))
        carry(experiment.features, folder / CONFIG)
        study = Study(read_document(folder / CONFIG), folder, data)

        def told() -> None:
            rows = rows_of(study)
            write_best(study, rows)
            write_table(study, rows)
            write_report(study, rows)

        told()
        if study.units.unread:
            logger.info("the model does not read these, and they stay as they are: %s", ", ".join(study.units.unread))
        try:
            study.run(told)
        except (Interrupted, KeyboardInterrupt):
            raise Interrupted(_stopped(study)) from None
        finally:
            told()
        rows = rows_of(study)
    return Selected(folder, folder / BEST, folder / REPORT, folder / TABLE, rows, study.verified)


def _written(experiment: Experiment) -> Document:
    """The config as it is kept: features taken in, `${ENV}` as written."""
    return Document.of(experiment.resolved())


def _folder(config: Any, experiment: Experiment, run_dir: str | os.PathLike[str] | None) -> Path:
    if run_dir is not None:
        return Path(run_dir)
    if not isinstance(config, Mapping) and (Path(config) / MEASURED).is_dir():
        return Path(config)
    return run_path(f"{experiment.name}-select")


def refuse_unfit(experiment: Experiment, given: Sequence[str] = ()) -> None:
    """Refuse what no feature can be told apart in, and names that no feature has.

    Args:
        experiment: The experiment.
        given: Parts of the data that others stand in for.

    Raises:
        ConfigError: All reasons.
    """
    problems = list(_unfit(experiment, given))
    if not isinstance(experiment.model, StatisticConfig):
        problems += misnamed(experiment, experiment.sections.select or SelectConfig())
    if problems:
        raise experiment.placed(ConfigError(problems))


def _unfit(experiment: Experiment, given: Sequence[str]) -> Iterator[Problem]:
    kind = experiment.model.type
    if isinstance(experiment.model, StatisticConfig):
        yield Problem(f"'{kind}' is counted from ids, and reads no other features", "model.type")
        return
    if experiment.data.sampler is not None or experiment.eval.retrieval is not None:
        where = "data.sampler" if experiment.data.sampler is not None else "eval.retrieval"
        text = "features are measured by how well rows with labels are scored, not by how a catalogue is ranked"
        yield Problem(f"{text}\nselect them with labels and no sampler, then train the chosen ones with it", where)
    elif experiment.watched is None:
        yield Problem("no metric of the first task has a better direction: set eval.metrics: [auc]", "eval")
    if experiment.model.feature_gates is not None:
        yield Problem("the selection puts gates there itself: leave them out", "model.feature_gates")
    if not (experiment.data.valid is not None or experiment.data.split is not None or "valid" in given):
        yield Problem("features are measured on data.valid, and there is none", "data")


def _refuse_others(folder: Path, written: Document, *, overwrite: bool) -> None:
    """Refuse a folder that holds another config's selection, or something else.

    Raises:
        TuneError: It does.
    """
    if not folder.is_dir():
        return
    found = sorted(entry.name for entry in folder.iterdir() if entry.name != ".lock")
    if found and MEASURED not in found:
        hint = "nothing is laid over it" if overwrite else "choose another folder (--run-dir)"
        raise TuneError(f"{folder}: holds no selection, but {', '.join(found[:3])}: {hint}")
    if not found or overwrite:
        return
    known = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    other = differences(_compared(known), _compared(written.raw))
    if other:
        text = f"{folder}: holds a selection of another config, which differs in: {', '.join(other)}"
        raise TuneError(f"{text}\nstart over (--overwrite), or choose another folder (--run-dir)")


def _compared(raw: Mapping[str, Any]) -> dict[str, Any]:
    """What a selection must not change of its config while it goes on: how it decides may change."""
    section = SelectConfig.model_validate(raw.get("select") or {})
    return {
        **{key: value for key, value in raw.items() if key not in ("select", "description", "tune")},
        "select": {"noise": {"copies": section.noise.copies}},
    }


def _stopped(study: Study) -> str:
    done = ", ".join(measured.method for measured in study.measured) or "nothing"
    config = study.folder / BEST
    return f"stopped; measured by {done}, and {config} is the config so far. To go on: the same command"
