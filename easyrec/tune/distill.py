"""`easyrec.distill`: train a student with its teachers, and beside it the same on labels alone."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from easyrec import metrics
from easyrec.batch import Batch
from easyrec.check import build
from easyrec.config import Experiment
from easyrec.config.distill import DistillConfig, taught
from easyrec.config.experiment import experiment_of, read_document
from easyrec.config.space import unsearched
from easyrec.data import make_loader, open_sources
from easyrec.durable import write_text
from easyrec.errors import ConfigError, EasyRecError, RunError, TuneError
from easyrec.finite import finite
from easyrec.report.distill_page import distill_page
from easyrec.report.environment import environment
from easyrec.train.api import train
from easyrec.train.interrupt import Interrupted
from easyrec.train.run import Run
from easyrec.train.run_folder import METRICS, RunFolder, read_json, run_path
from easyrec.train.taught import TEACHERS, teach
from easyrec.train.teachers import Teacher, values_of
from easyrec.tune.api import tune
from easyrec.tune.costs import latency_ms
from easyrec.tune.distilled import LABELS, STUDENT, TEACHER, Contestant, Distilled, gains, told
from easyrec.tune.row import Row
from easyrec.tune.search import load_search
from easyrec.tune.study import differences
from feature_generator.config import Document, override
from feature_generator.fitting.learned import carry

logger = logging.getLogger("easyrec.tune")

ABOUT = "distill.json"
REPORT, CONFIG = "report.html", "student.yaml"
SEARCH = "search"
"""Folder of the search inside that of the distillation."""
FREE = ("seeds", "baseline", "cache")
"""Keys of `distill` that may change where a distillation goes on."""
EVALUATED = ("valid", "test")


def distill(
    config: str | os.PathLike[str] | Mapping[str, Any],
    *,
    data: Mapping[str, Any] | None = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    plugins: Sequence[str | os.PathLike[str]] = (),
    run_dir: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: bool | None = None,
    export: bool = True,
) -> Distilled:
    """Train a student by the `distill` section of its config, or go on with it: stopped at any moment, call it again.

    Args:
        config: A YAML with a `distill` section, its content as a dict, or the folder of a distillation.
        data: Rows by part that stand in for the config's.
        overrides: Settings laid over the config.
        plugins: Files and packages with more models, losses, features, ..., see `feature_generator.config.plug`.
        run_dir: Folder of the distillation; default `runs/<name>-distill`.
        overwrite: Start over, and remove what is in the folder.
        progress: Whether to draw progress bars; default: whether stderr is a terminal.
        export: Whether the student becomes a bundle.

    Returns:
        The student, and what it is compared with.

    Raises:
        ConfigError: The config has no `distill` section, or cannot work; or a teacher is not there.
        DataError: A row cannot be used.
        TuneError: No student of a search stays within what it may cost.
        RunError: The folder holds something else.
        Interrupted: A signal came; the report tells of what is there, and the same call goes on.
    """
    document = read_document(config, overrides, plugins=plugins)
    section = _section(document)
    searched = unsearched(document)
    if searched and section.get("search") is None:
        raise ConfigError(searched, document.file)
    if searched:
        search = load_search(config, overrides, plugins=plugins, given=list(data or {}))
        experiment, written = search.first, search.resolved()
    else:
        experiment = experiment_of(document)
        written = experiment.resolved()
    assert experiment.distill is not None
    if experiment.distill.search is not None and not searched:
        text = "there is no space to search: write one in the place of a value, e.g. embedding_dim: {int: [2, 8]}"
        raise ConfigError([document.problem(("distill", "search"), text)], document.file)
    folder = _folder(config, experiment, run_dir)
    _refuse_others(folder, written, overwrite=overwrite)
    teach(experiment, open_sources(experiment, data), folder)  # one that is not there leaves no folder behind
    with RunFolder(folder, resume=not overwrite, overwrite=overwrite) as run:
        _describe(run, written, experiment)
        cache = experiment.distill.cache or str((folder / TEACHERS).absolute())
        chosen = _found(written, experiment, folder, cache, data, plugins, progress) if searched else document
        return _Distillation(chosen, folder, cache, data, progress=progress, export=export).run()


def _section(document: Document) -> Mapping[str, Any]:
    found = document.raw.get("distill") if isinstance(document.raw, dict) else None
    if not isinstance(found, Mapping):
        text = "there is no teacher: add distill: {teachers: runs/big}"
        raise ConfigError([document.problem((), text)], document.file)
    return found


def _folder(config: Any, experiment: Experiment, run_dir: str | os.PathLike[str] | None) -> Path:
    if run_dir is not None:
        return Path(run_dir)
    if not isinstance(config, Mapping) and Path(config).is_dir():
        return Path(config)
    return run_path(f"{experiment.name}-distill")


def _identity(written: Mapping[str, Any]) -> Any:
    """What makes distillations one, as plain JSON."""
    raw = {key: value for key, value in written.items() if key != "description"}
    free = {**raw, "distill": {key: value for key, value in raw["distill"].items() if key not in FREE}}
    return json.loads(json.dumps(free, default=str))


def _refuse_others(folder: Path, written: Mapping[str, Any], *, overwrite: bool) -> None:
    """Refuse a folder that holds something else.

    Raises:
        RunError: It does.
    """
    if not folder.is_dir():
        return
    found = sorted(entry.name for entry in folder.iterdir() if entry.name != ".lock")
    known = read_json(folder / ABOUT)
    if found and known is None:
        raise RunError(
            f"{folder}: holds no distillation, but {', '.join(found[:3])}: choose another folder (--run-dir)"
        )
    differing = [] if known is None or overwrite else differences(known["config"], _identity(written))
    if differing:
        listed = ", ".join(differing[:5]) + (f" and {len(differing) - 5} more" if len(differing) > 5 else "")
        text = f"{folder}: holds the distillation of another config, which differs in: {listed}"
        raise RunError(f"{text}\nstart over (--overwrite), or choose another folder (--run-dir)")


def _describe(run: RunFolder, written: Mapping[str, Any], experiment: Experiment) -> None:
    run.write_json(ABOUT, {"config": _identity(written)})
    run.write_text("config.yaml", yaml.safe_dump(dict(written), sort_keys=False, allow_unicode=True, width=120))
    carry(experiment.features, run.path / "config.yaml")


# --------------------------------------------------------------------------------------- the student's search


def _found(
    written: Mapping[str, Any],
    experiment: Experiment,
    folder: Path,
    cache: str,
    data: Mapping[str, Any] | None,
    plugins: Sequence[str | os.PathLike[str]],
    progress: bool | None,
) -> Document:
    """The config of the best student that costs no more than it may.

    Raises:
        TuneError: There is none.
    """
    assert experiment.distill is not None
    assert experiment.distill.search is not None
    bounds = experiment.distill.search.bounds
    section = written.get("tune") or {}
    metric = section.get("objectives") or []
    named = [metric] if isinstance(metric, str) else [name for name in metric if name not in bounds]
    watched = named or ([] if experiment.watched is None else [experiment.watched.key])
    laid = {"distill.cache": cache, "distill.search": None, "tune.objectives": [*watched[:1], *bounds]}
    search = override(Document.of({**written, "tune": section}), laid).raw
    tuned = tune(search, data=data, plugins=plugins, run_dir=folder / SEARCH, progress=progress)
    best = best_within(tuned.ranked(), tuned.objectives[0], bounds, higher=tuned.higher_is_better)
    if best is None:
        ended = [row for row in tuned.rows if row.state == "complete"]
        least = {name: min(row.outcome[name] for row in ended) for name in bounds}
        told_ = ", ".join(f"{name} {least[name]:.4g} at least, {bound:.4g} at most" for name, bound in bounds.items())
        text = f"{tuned.path}: none of {len(ended)} students costs no more than it may: {told_}"
        raise TuneError(f"{text}\nallow more in distill.search, offer smaller students, or raise tune.budget")
    logger.info("trial %d is the best student within %s", best.number, bounds)
    student = load_search(search, given=list(data or {}), corners=False).experiment(
        best.values, {"distill.cache": None}
    )
    return Document.of({key: value for key, value in student.resolved().items() if key != "tune"})


def best_within(rows: Sequence[Row], metric: str, bounds: Mapping[str, float], *, higher: bool) -> Row | None:
    """The row with the best metric among those that cost no more than they may; None where there is none."""
    able = [row for row in rows if all(row.outcome[name] <= bound for name, bound in bounds.items())]
    sign = 1.0 if higher else -1.0
    return max(able, key=lambda row: sign * row.outcome[metric], default=None)


# ----------------------------------------------------------------------------------- teacher, student, baseline


class _Distillation:
    """Trains the student and what it is compared with, one run after the other."""

    def __init__(
        self,
        document: Document,
        folder: Path,
        cache: str,
        data: Mapping[str, Any] | None,
        *,
        progress: bool | None,
        export: bool,
    ) -> None:
        self.document, self.folder, self.cache, self.data = document, folder, cache, data
        self.progress, self.export = progress, export
        self.experiment = self._experiment({})
        assert self.experiment.distill is not None
        self.config: DistillConfig = self.experiment.distill
        self.runs: dict[str, list[Run]] = {STUDENT: [], LABELS: []}
        self.teacher: Contestant | None = None
        watched = self.experiment.watched
        self.metric = watched.key if watched is not None else ""

    def _experiment(self, laid: Mapping[str, Any]) -> Experiment:
        return experiment_of(override(self.document, {"distill.cache": self.cache, **laid}))

    def run(self) -> Distilled:
        """Train what is not trained yet, and write the report, also where it is cut short."""
        student = self.experiment.to_yaml()
        write_text(self.folder / CONFIG, student)
        carry(self.experiment.features, self.folder / CONFIG)
        try:
            for number in range(self.config.seeds):
                self._train(STUDENT, number, {})
                if self.config.baseline:
                    alone = {"distill.alpha": 0.0}
                    if self.config.candidates is not None:
                        alone["distill.candidates.items"] = 0
                    self._train(LABELS, number, alone)
            self.teacher = self._teacher()
        except Interrupted:
            if any(self.runs.values()):
                self._report()
            raise Interrupted(f"stopped; {self._told()}. To go on: the same command") from None
        return self._report()

    def _told(self) -> str:
        counts = [f"{len(runs)} of {self.config.seeds} of '{name}'" for name, runs in self.runs.items()]
        return f"trained are {', '.join(counts)}"

    def _train(self, name: str, number: int, laid: Mapping[str, Any]) -> None:
        folder = self.folder / f"{name.partition(' ')[0]}-{number}"
        if (folder / "metrics.json").is_file():
            self.runs[name].append(Run.load(folder))
            return
        experiment = self._experiment({"train.seed": self.experiment.train.seed + number, **laid})
        logger.info("%s, seed %d", name, experiment.train.seed)
        bundle = self.export and name == STUDENT and number == 0
        run = train(experiment, data=self.data, run_dir=folder, resume=True, progress=self.progress, export=bundle)
        self.runs[name].append(run)

    def _teacher(self) -> Contestant:
        """What the teachers say of the parts that are evaluated, measured."""
        sources = open_sources(self.experiment, self.data)
        named = [one.column for one in self.config.teachers if one.column is not None]
        parts = [
            name
            for name in EVALUATED
            if (part := getattr(sources, name)) is not None and all(column in part.source.columns for column in named)
        ]
        learned = teach(self.experiment, sources, self.folder, parts)
        assert learned is not None
        learned.prepare(bar=self.progress)
        measured = {}
        for name in parts:
            tasks = [
                task for task in self.experiment.tasks if taught(task.name) in getattr(learned.sources, name).columns
            ]
            columns = [taught(task.name) for task in tasks]
            read = [*self.experiment.eval.columns(tasks), *columns]
            part = getattr(learned.sources, name)
            loader = make_loader(learned.experiment, part, training=False, reserved=list(dict.fromkeys(read)))

            def said(batch: Batch, tasks: Sequence[Any] = tasks) -> dict[str, np.ndarray]:
                assert batch.reserved is not None
                return {task.name: _scores(batch, task.name, task.type) for task in tasks}

            values = metrics.evaluate(said, loader, tasks, self.experiment.eval)
            alone = len(tasks) == 1 < len(self.experiment.tasks)
            measured[name] = [{f"{tasks[0].name}/{key}" if alone else key: value for key, value in values.items()}]
        models = [
            Teacher(one, n, self.experiment.tasks, self.experiment.data.fg, {}) for n, one in self.config.models.items()
        ]
        weights = sum(_weights(one.experiment) for one in models) if len(models) == len(self.config.teachers) else None
        bundles = [one.folder if one.bundled else one.folder.parent.parent / "bundle" for one in models]
        times = [self._latency(bundle) for bundle in bundles]
        whole = None if weights is None or None in times else sum(time or 0.0 for time in times)
        return Contestant(TEACHER, measured, weights, whole)

    def _latency(self, bundle: Path | None) -> float | None:
        if bundle is None or not bundle.is_dir():
            return None
        try:
            return latency_ms(bundle, self.experiment.export.request.items)
        except EasyRecError as error:  # such as a teacher's that this machine cannot serve
            logger.warning("%s is not timed: %s", bundle, error)
            return None

    def _contestants(self) -> list[Contestant]:
        weights = _weights(self.experiment)
        found = [] if self.teacher is None else [self.teacher]
        for name, runs in self.runs.items():
            if runs:
                parts = {part: [run.metrics[part] for run in runs if part in run.metrics] for part in EVALUATED}
                time = self._latency(runs[0].bundle)
                found.append(Contestant(name, {p: values for p, values in parts.items() if values}, weights, time))
        return found

    def _report(self) -> Distilled:
        contestants = self._contestants()
        config = {key: value for key, value in self.experiment.resolved().items() if key != "tune"}
        facts: dict[str, Any] = {
            "name": self.experiment.name,
            "metric": self.metric,
            "contestants": told(contestants, EVALUATED),
            "curves": {name: [_curve(run, self.metric) for run in runs] for name, runs in self.runs.items() if runs},
            "config": yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120),
            "environment": environment(),
        }
        by_name = {one.name: one for one in contestants}
        if STUDENT in by_name and LABELS in by_name:
            facts["gain"] = gains(by_name[STUDENT], by_name[LABELS], self.metric)
        kept = {key: facts[key] for key in ("name", "metric", "contestants", "gain") if key in facts}
        about = read_json(self.folder / ABOUT) or {}
        write_text(self.folder / ABOUT, json.dumps(finite({**about, **kept}), indent=1, ensure_ascii=False) + "\n")
        report = self.folder / REPORT
        write_text(report, distill_page(finite(facts)))
        student = self.runs[STUDENT][0] if self.runs[STUDENT] else Run({}, self.folder)
        return Distilled(self.folder, report, student, contestants, self.metric, self.folder / CONFIG)


def _scores(batch: Batch, task: str, kind: str) -> np.ndarray:
    """Probabilities or values from what the teachers say."""
    assert batch.reserved is not None
    values = values_of(batch.reserved.column(taught(task))).numpy().astype(np.float64)
    if kind == "binary":
        values = 1.0 / (1.0 + np.exp(-values))
    elif kind == "multiclass":
        values = np.exp(values)
    return values.astype(np.float32)


def _weights(experiment: Experiment) -> int:
    built = build(experiment)
    return built.plan.parameters + built.dense_parameters


def _curve(run: Run, metric: str) -> list[tuple[float, float]]:
    """The metric on valid by epoch."""
    path = run.path / METRICS
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    found = [(record["epoch"], record["valid"].get(metric)) for record in map(json.loads, lines)]
    return [(float(epoch), float(value)) for epoch, value in found if value is not None and math.isfinite(value)]
