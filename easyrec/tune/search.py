"""`Search`: what is searched, validated before anything trains."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from easyrec.check import build
from easyrec.config import Experiment
from easyrec.config.experiment import experiment_of, read_document
from easyrec.config.located import located
from easyrec.config.space import KINDS, Parameter, Value, active, filled, parameters, points, unsearched
from easyrec.config.statistic import StatisticConfig
from easyrec.config.tune import COSTS, Grid, Halving, Hyperband, NoPruner, TuneConfig
from easyrec.config.watched import directions
from easyrec.errors import ConfigError, Problem, nearest
from feature_generator.config import Document, override, read_yaml, validate

CORNERS = 200
"""Corners of the space that are validated at most."""
DRAWN = 20
"""Points of its inside that are."""


@dataclass(frozen=True)
class Objective:
    """What is optimised.

    Attributes:
        name: A metric's key, or one of `COSTS`.
        higher_is_better: The direction.
    """

    name: str
    higher_is_better: bool

    @property
    def is_metric(self) -> bool:
        """Whether an evaluation gives it."""
        return self.name not in COSTS


@dataclass(frozen=True)
class Search:
    """A config with spaces.

    Attributes:
        document: The config as it is written, its features file taken in.
        parameters: Its spaces.
        config: The `tune` section.
        first: The experiment of each space's first value.
        objectives: What is optimised, the most important first.
    """

    document: Document
    parameters: list[Parameter]
    config: TuneConfig
    first: Experiment
    objectives: tuple[Objective, ...]

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.first.name

    def experiment(self, values: Mapping[str, Value], more: Mapping[str, Any] | None = None) -> Experiment:
        """The experiment of a point.

        Args:
            values: The point.
            more: Settings that are laid over it.

        Raises:
            ConfigError: It is not valid.
        """
        return _experiment(self.document, self.parameters, values, {"name": self.name, **(more or {})})

    def options(self) -> Iterator[Experiment]:
        """An experiment with each option of each choice: together they read all that any point reads."""
        yield self.first
        for parameter in self.parameters:
            for label in parameter.labels:
                yield self.experiment({**dict(parameter.given), parameter.name: label})

    @property
    def rungs(self) -> list[float]:
        """Shares of the rows that a trial is trained on, one after another."""
        return [1.0] if self.config.rows is None else self.config.rows.shares

    def step(self, evaluation: int) -> int:
        """What the pruner calls an evaluation, or a share of the rows that is through, from 1: it halves at 1, 3, 9."""
        chosen = self.config.pruned
        if self.config.rows is None or not isinstance(chosen, Halving | Hyperband):
            return evaluation
        return int(chosen.reduction ** (evaluation - 1))

    @property
    def trials(self) -> int | None:
        """How many trials there are at most, None where only time bounds them."""
        budget = self.config.budget
        unbounded = isinstance(self.config.sampler, Grid) or budget.minutes is not None
        return budget.trials or (None if unbounded else 20)

    def resolved(self) -> dict[str, Any]:
        """The config with its spaces as another folder may hold it, see `Experiment.resolved`."""
        raw = self.document.raw
        features = located(raw["features"], self.first.generator.features, self.document.file)
        return {**raw, "name": self.name, "features": features}

    def written(self) -> dict[str, Any]:
        """What makes studies one: the config with its spaces, and what is measured of it."""
        config = self.config
        raw = {key: value for key, value in self.document.raw.items() if key not in ("tune", "description")}
        rows = {} if config.rows is None else {"rows": config.rows.model_dump(mode="json")}
        return {**raw, "tune": {"objectives": [o.name for o in self.objectives], "seeds": config.seeds, **rows}}


def load_search(
    source: Any,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    *,
    plugins: Sequence[Any] = (),
    given: Sequence[str] = (),
    corners: bool = True,
) -> Search:
    """Read a config with spaces and validate it: the spaces, their corners, and the `tune` section.

    Args:
        source: Path of the YAML, of a study's folder, or the content as a dict.
        overrides: Settings laid over it; one that names a space takes its place.
        plugins: Files and packages with more models, ...
        given: Parts of the data that others stand in for.
        corners: Whether the corners are validated; else only the first, where another process has seen to them.

    Raises:
        ConfigError: Everything that is wrong, with lines.
    """
    document = _with_features(read_document(source, overrides, plugins=plugins))
    config = _section(document)
    found = parameters(document)
    first = _corners(document, found) if corners else _experiment(document, found, {})
    objectives = _objectives(document, config, first)
    problems = list(_unfit(document, config, found, objectives, first, given))
    if problems:
        raise ConfigError(problems, document.file)
    return Search(document, found, config, first, objectives)


def _with_features(document: Document) -> Document:
    """The config with its features file in the place of the path: spaces may stand there too.

    A file without spaces stays a file, told by its whole path: what its features have learned lies beside it.
    """
    value = document.data.get("features") if isinstance(document.data, dict) else None
    if not isinstance(value, str):
        return document
    path = Path(value)
    folder = Path(document.file).parent if document.file else Path()
    part = read_yaml(path if path.is_absolute() else folder / path)
    raw, places = dict(document.raw), document.places
    if unsearched(part):
        raw = {**{k: v for k, v in part.raw.items() if k == "hash"}, **raw, "features": part.raw.get("features")}
        places = {**places, **{p: place for p, place in part.places.items() if p[:1] == ("features",)}}
    elif not path.is_absolute():
        raw["features"] = str((folder / path).absolute())
    return override(Document(None, raw, places, document.file), ())


def _section(document: Document) -> TuneConfig:
    if not isinstance(document.raw, dict) or document.raw.get("tune") is None:
        return TuneConfig()
    return validate(TuneConfig, document.at(("tune",)))


# --------------------------------------------------------------------------------------------- corners


def _corners(document: Document, found: Sequence[Parameter]) -> Experiment:
    """Validate the corners of the space; the experiment of the first.

    Raises:
        ConfigError: What is wrong with the first corner; else what is wrong with others, each problem once, and where.
    """
    first = _experiment(document, found, {})
    build(first)
    problems: dict[tuple[str, int, str, str], Problem] = {}
    for told, values in _tried(found):
        for problem in _problems(document, found, values):
            key = (problem.file, problem.line, problem.where, problem.message)
            text = f"{problem.message}\nat {told}"
            problems.setdefault(key, Problem(text, problem.where, problem.line, problem.file))
    if problems:
        raise ConfigError(sorted(problems.values(), key=lambda p: (p.file, p.line)), document.file)
    return first


def _problems(document: Document, found: Sequence[Parameter], values: Mapping[str, Value]) -> Sequence[Problem]:
    """What is wrong with a point."""
    try:
        build(_experiment(document, found, values))
    except ConfigError as error:
        return error.problems
    return ()


def _tried(found: Sequence[Parameter]) -> Iterator[tuple[str, dict[str, Value]]]:
    """Corners, one parameter away from the first, then points that are drawn; each with what it is called."""
    corners = [{**dict(p.given), p.name: value} for p in found for value in p.ends][:CORNERS]
    drawn = random.Random(0)  # noqa: S311 (no secret)
    for _ in range(DRAWN):
        values = {p.name: drawn.choice(p.ends) for p in found}
        corners.append({p.name: values[p.name] for p in active(found, values)})
    seen = {_point(found, {})}
    for values in corners:
        if _point(found, values) not in seen:
            seen.add(_point(found, values))
            yield ", ".join(f"{name} = {value}" for name, value in values.items()), values


def _point(found: Sequence[Parameter], values: Mapping[str, Value]) -> tuple[Value, ...]:
    """All values of a point, of which some may be said."""
    return tuple(values.get(p.name, p.ends[0]) for p in found)


def _experiment(
    document: Document, found: Sequence[Parameter], values: Mapping[str, Value], more: Mapping[str, Any] | None = None
) -> Experiment:
    """The experiment of a point; a space without a value takes its first.

    Raises:
        ConfigError: It is not valid; where a mapping stands in the place of a value, with what a space looks like.
    """
    at = filled(document, found, lambda p: values.get(p.name, p.ends[0]))
    try:
        return experiment_of(override(at, more) if more else at)
    except ConfigError as error:
        raise ConfigError([_as_space(problem) for problem in error.problems], error.file) from None


def _as_space(problem: Problem) -> Problem:
    if not problem.message.endswith(", but is a mapping"):
        return problem
    kinds = f"{', '.join(KINDS[:-1])} or {KINDS[-1]}"
    return replace(problem, message=f"{problem.message}\na space is written as {kinds}, such as {{log: [1e-4, 1e-2]}}")


# ------------------------------------------------------------------------------------- the tune section


def _objectives(document: Document, config: TuneConfig, first: Experiment) -> tuple[Objective, ...]:
    """The objectives with their directions.

    Raises:
        ConfigError: One is not measured, or has no better direction; or none is named, and training watches none.
    """
    watched = first.watched
    if not config.objectives:
        if watched is None:
            text = "no metric of the first task has a better direction: name what is optimised, objectives: [auc]"
            raise ConfigError([document.problem(("tune",), text)], document.file)
        return (Objective(watched.key, watched.higher_is_better),)
    known = directions(first.tasks, first.eval)
    objectives, problems = [], []
    for index, named in enumerate(config.objectives):
        if named in COSTS:
            objectives.append(Objective(named, higher_is_better=False))
            continue
        several = len(first.tasks) > 1 and first.eval.retrieval is None and "/" not in named
        key = f"{first.tasks[0].name}/{named}" if several else named
        better = known.get(key)
        if key not in known:
            text = f"'{named}' is not evaluated{nearest(named, [*known, *COSTS])}"
            text += f"\nevaluated: {', '.join(known) or 'none'}\nmeasured besides: {', '.join(COSTS)}"
            problems.append(document.problem(("tune", "objectives", index), text))
        elif better is None:
            problems.append(document.problem(("tune", "objectives", index), f"'{named}' has no better direction"))
        else:
            objectives.append(Objective(key, better == "higher"))
    if problems:
        raise ConfigError(problems, document.file)
    return tuple(objectives)


def _unfit(
    document: Document,
    config: TuneConfig,
    found: Sequence[Parameter],
    objectives: Sequence[Objective],
    first: Experiment,
    given: Sequence[str],
) -> Iterator[Problem]:
    """What the parts of the `tune` section and the data have against each other."""
    held_out = first.data.valid is not None or first.data.split is not None or "valid" in given
    if not held_out:
        yield document.problem(("data",), "trials are compared on data.valid, and there is none")
    if len(objectives) > 1 and not isinstance(config.pruned, NoPruner):
        text = "trials of several objectives cannot be compared before they end: set pruner: none, or leave it out"
        yield document.problem(("tune", "pruner"), text)
    if config.rows is not None and (len(objectives) > 1 or isinstance(config.pruned, NoPruner)):
        text = "the best on a share of the rows go on to more of them: this takes one objective, and a pruner"
        yield document.problem(("tune", "rows"), text)
    if isinstance(config.sampler, Grid):
        try:
            next(points(found))
        except ValueError as endless:
            name = str(endless)
            parameter = next(p for p in found if p.name == name)
            text = f"a grid has no end here: give it a 'step', or write a choice of values ('{name}')"
            yield document.problem(parameter.path, text)
    if config.workers > 1 and given:
        text = "rows in memory are of one process: write them as parquet, or leave 'workers' out"
        yield document.problem(("tune", "workers"), text)
    if config.seeds > 1 and any(p.name == "train.seed" for p in found):
        yield document.problem(("tune", "seeds"), "train.seed is searched itself: leave 'seeds' out")
    costs = {o.name for o in objectives} & {"latency_ms", "bundle_mb"}
    if costs and (isinstance(first.model, StatisticConfig) or first.data.sampler is not None):
        text = f"{' and '.join(sorted(costs))} are of models that score rows, and '{first.model.type}' is none"
        yield document.problem(("tune", "objectives"), text)
    if "parameters" in {o.name for o in objectives} and isinstance(first.model, StatisticConfig):
        yield document.problem(("tune", "objectives"), f"'{first.model.type}' is counted, and has no parameters")
    if all(not o.is_metric for o in objectives):
        text = f"at least one must be a metric, else the smallest model wins: {', '.join(o.name for o in objectives)}"
        yield document.problem(("tune", "objectives"), text)
