"""The experiment: all sections of one YAML, validated together, every problem in one report."""

from __future__ import annotations

import json
import os
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from pydantic import Field, ValidationError

from easyrec.config.batches import unfit_batches
from easyrec.config.compress import unfit_compress
from easyrec.config.cross import CrossConfig
from easyrec.config.data import DataConfig, Shuffle
from easyrec.config.distill import DistillConfig, unfit_distill
from easyrec.config.distributed import unfit_distributed
from easyrec.config.dynamic import unfit_dynamic
from easyrec.config.evaluation import EvalConfig, RetrievalEval
from easyrec.config.export import ExportConfig
from easyrec.config.graph import unfit_graph
from easyrec.config.located import located
from easyrec.config.measured import Measured, measured
from easyrec.config.model import SAMPLERS, ModelConfig, TaskConfig
from easyrec.config.places import placed
from easyrec.config.select import SelectConfig
from easyrec.config.space import unsearched
from easyrec.config.statistic import StatisticConfig
from easyrec.config.storage import unfit_storage
from easyrec.config.train import TrainConfig
from easyrec.config.tune import TuneConfig
from easyrec.config.watched import Watched, watched
from easyrec.errors import ConfigError, Problem, nearest
from feature_generator import FeatureGenerator, OutputSpec
from feature_generator.config import (
    Choice,
    Document,
    StrictModel,
    override,
    plug,
    problems_of,
    read_yaml,
    repeat_names,
)
from feature_generator.plugins import missing, used

if TYPE_CHECKING:
    from easyrec.embedding.spec import EmbeddingPlan

MATCH = "match"
"""The task of a model that is trained without labels."""
PLUGINS = "plugins.json"
"""Beside the config of a run: the plugins that it was trained with."""


SECTIONS: dict[str, type[StrictModel]] = {
    "data": DataConfig,
    "eval": EvalConfig,
    "train": TrainConfig,
    "model": ModelConfig,
    "export": ExportConfig,
    "tune": TuneConfig,
    "select": SelectConfig,
    "cross": CrossConfig,
    "distill": DistillConfig,
}
"""The sections whose keys are looked for where another one does not know them, the likeliest first."""


class Sections(StrictModel):
    """The sections of the file. `features` is validated by the generator."""

    name: str | None = None
    hash: str = "murmur64a"
    data: DataConfig
    features: Any
    model: Annotated[Any, Choice("easyrec.models", beside=("easyrec.statistics",))]
    train: TrainConfig = TrainConfig()
    eval: EvalConfig = EvalConfig()
    export: ExportConfig = ExportConfig()
    tune: TuneConfig | None = None
    select: SelectConfig | None = None
    cross: CrossConfig | None = None
    distill: DistillConfig | None = None
    store: Any = None
    serving: Any = None
    description: str = Field("", max_length=10_000)


class Experiment:
    """A valid experiment.

    Attributes:
        name: The config's `name`, else its file's stem.
        document: The whole file with overrides laid over it; `document.raw` is safe to store.
        features: The features part as a document `{"features": [...], "hash": ...}` for the generator.
        generator: The FeatureGenerator of the features.
        tasks: What is predicted; a single task is called like its label.
    """

    def __init__(self, document: Document, sections: Sections, generator: FeatureGenerator, features: Document) -> None:
        self.document, self.sections, self.generator, self.features = document, sections, generator, features
        stem = Path(document.file).stem if document.file else "experiment"
        self.name = sections.name or stem
        self.hash = sections.hash
        self.data: DataConfig = sections.data
        self.model: ModelConfig = sections.model
        self.train: TrainConfig = sections.train
        self.eval: EvalConfig = _evaluation(sections)
        self.export: ExportConfig = sections.export
        self.distill: DistillConfig | None = sections.distill
        self.taught: tuple[str, ...] = ()  # columns of what teachers say, where rows are read that have them

    @cached_property
    def tasks(self) -> tuple[TaskConfig, ...]:
        """The tasks, resolved: by default one binary task on the first label."""
        return _tasks(self.model, self.data)

    @cached_property
    def watched(self) -> Watched | None:
        """The metric that decides which checkpoint is best and when training stops."""
        return watched(self.tasks, self.eval, self.train)

    def doubts(self, given: Container[str] = ()) -> list[str]:
        """What the config says and may not mean, one sentence each.

        Args:
            given: Parts of the data that others stand in for.
        """
        read = {label for task in self.tasks for label in task.labels}
        read |= set(self.data.labels) if self.data.sampler else set()
        read |= {self.data.labels[0]} if self.data.negative_sampling else set()
        parts = {"train": self.data.train, "valid": self.data.valid, "test": self.data.test}
        parts = {name: config for name, config in parts.items() if config and name not in given}
        train = parts.pop("train", None)
        unlike = {name: train.unlike(config) for name, config in parts.items()} if train else {}
        found = [f"data.train and data.{name} {why}" for name, why in unlike.items() if why]
        return found + [
            f"the label '{label}' is predicted by no task: give it one under model.tasks, or leave it out of data.labels"
            for label in self.data.labels
            if label not in read
        ]

    @cached_property
    def session_columns(self) -> tuple[str, ...]:
        """Raw columns whose equal values make the sessions that losses read."""
        own = dict.fromkeys(column for task in self.tasks for column in task.loss_config.columns)
        lists = self.distill.sessions if self.distill is not None and self.distill.alpha else ()
        return tuple(dict.fromkeys([*own, *lists]))

    @property
    def training_columns(self) -> tuple[str, ...]:
        """Raw columns that training reads beside features, labels and weights."""
        read = [*self.session_columns, *(self.measured.columns if self.measured else ()), *self.taught]
        return tuple(dict.fromkeys(read))

    def readers(self, *, training: bool) -> list[tuple[str, str]]:
        """Who reads raw columns beside features, labels and weights: dotted paths, each with its column.

        Args:
            training: Rows that are learned from; else rows that are evaluated.
        """
        if not training:
            return [pair for pair in self.eval.readers(self.tasks) if not self.is_made(pair[1])]
        found = [
            (".".join(map(str, ("model.tasks", number, "loss", *path, "by"))), column)
            for number, task in enumerate(self.tasks)
            for path, part in task.loss_config.placed()
            for column in part.columns
        ]
        if self.distill is not None and self.distill.alpha:
            found += [
                (f"distill.losses.{number}.by", column)
                for number, loss in enumerate(self.distill.losses)
                for column in loss.session(self.distill)
            ]
        found += list(self.measured.readers()) if self.measured else []
        return [pair for pair in found if not self.is_made(pair[1])]

    def is_made(self, column: str) -> bool:
        """Whether a column is made while rows are read, and is in no data."""
        return self.distill is not None and self.distill.is_made(column)

    @cached_property
    def measured(self) -> Measured | None:
        """What training measures of the rows that it learns, None where nothing."""
        return measured(self.tasks, self.eval, self.train)

    @property
    def shuffle(self) -> Shuffle | None:
        """How training rows are mixed: where a loss has sessions, these stay together."""
        found = self.data.shuffle or None
        if found is not None and found.together is None and self.session_columns:
            found = found.model_copy(update={"together": self.session_columns[0]})
        return found

    def require_distributed(self) -> None:
        """Refuse what several workers cannot do together, also where the config does not say that there will be some.

        Raises:
            ConfigError: What they cannot.
        """
        from easyrec.embedding.plan import plan_embeddings  # noqa: PLC0415 (torch-free; a floor above this one)

        if isinstance(self.model, StatisticConfig):
            text = f"'{self.model.type}' is counted, by one process\nstart it without torchrun"
            raise self.placed(ConfigError([Problem(text, "model.type")]))
        plan = plan_embeddings(self.generator.outputs, self.model)
        problems = _undistributed(self.sections, self.tasks, plan)
        if problems:
            raise self.placed(ConfigError(problems))

    def placed(self, error: ConfigError) -> ConfigError:
        """The same error with files and lines, for problems whose `where` is a dotted path such as `model.groups.deep`.

        A problem that names no place is one of the `model` section.
        """
        problems = [p if p.line or p.file else placed(self.document, p) for p in error.problems]
        return ConfigError(problems, self.document.file)

    def resolved(self) -> dict[str, Any]:
        """The resolved config: base and overrides merged, a features file read in, `${ENV}` as written.

        It may be written to another folder: files beside the features have their whole path.
        """
        raw = self.features.raw
        listed = located(raw["features"], self.generator.features, self.features.file)
        return {**self.document.raw, "name": self.name, **raw, "features": listed}

    def plugins(self) -> list[dict[str, str]]:
        """The plugins whose members the config names, as `feature_generator.plugins.used` tells them."""
        return used(self.sections, self.generator.features)

    def to_yaml(self) -> str:
        """The resolved config as YAML."""
        return yaml.safe_dump(self.resolved(), sort_keys=False, allow_unicode=True, width=120)


def load_experiment(
    source: str | os.PathLike[str] | Mapping[str, Any],
    overrides: Sequence[str] | Mapping[str, Any] = (),
    *,
    blanks: bool = False,
    plugins: Sequence[str | os.PathLike[str]] = (),
) -> Experiment:
    """Read, merge and validate an experiment.

    Args:
        source: Path of a YAML file or of a run's folder, or the file's content as a dict.
        overrides: `path=value` texts as `-o` takes them, or a mapping of path to value.
        blanks: Give features that are still to be fitted stand-ins for what they learn.
        plugins: Files and packages with more models, losses, features, ..., see `feature_generator.config.plug`; they
            stay plugged in.

    Raises:
        ConfigError: Everything wrong with the config, with lines, in one report.
    """
    document = read_document(source, overrides, plugins=plugins)
    spaces = unsearched(document)
    if spaces:
        raise ConfigError(spaces, document.file)
    return experiment_of(document, blanks=blanks)


def read_document(
    source: str | os.PathLike[str] | Mapping[str, Any],
    overrides: Sequence[str] | Mapping[str, Any] = (),
    *,
    plugins: Sequence[str | os.PathLike[str]] = (),
) -> Document:
    """Read and merge an experiment without validating it, see `load_experiment`."""
    for plugin in plugins:
        plug(plugin)
    document = Document.of(source) if isinstance(source, Mapping) else read_yaml(_file(Path(source)))
    return override(document, overrides)


def experiment_of(document: Document, *, blanks: bool = False) -> Experiment:
    """Validate an experiment that was read, see `load_experiment`."""
    problems: list[Problem] = []
    sections: Sections | None = None
    try:
        sections = Sections.model_validate(document.data)
    except ValidationError as error:
        problems += map(_belonging, problems_of(error, document))
    generator: FeatureGenerator | None = None
    features: Document | None = None
    if isinstance(document.data, dict) and document.data.get("features") is not None:
        try:
            features = _features(document)
            mode = document.data["data"].get("fg", "raw") if isinstance(document.data.get("data"), dict) else "raw"
            generator = FeatureGenerator.load(features, mode="encoded" if mode == "encoded" else "raw", blanks=blanks)
        except ConfigError as error:
            problems += error.problems
    problems += _of_tasks(document)
    if sections is not None and generator is not None:
        problems += _across(document, sections, generator)
    if problems:
        raise ConfigError(sorted(problems, key=lambda p: (p.file != document.file, p.file, p.line)), document.file)
    assert sections is not None
    assert generator is not None
    assert features is not None
    return Experiment(document, sections, generator, features)


def _belonging(problem: Problem) -> Problem:
    """The same problem; of a key that another section has it says which."""
    section, _, key = problem.where.rpartition(" . ")
    homes = [name for name, config in SECTIONS.items() if name != section and key in config.model_fields]
    if not homes or section not in ("", *SECTIONS) or not problem.message.startswith("unknown key"):
        return problem
    return replace(problem, message=f"unknown key; it belongs under '{homes[0]}'")


def _file(path: Path) -> Path:
    """The config's file: the path itself, or what lies in the folder of a run."""
    if path.is_dir() and not (path / "config.yaml").is_file():
        raise ConfigError("is a folder, but not that of a run: it has no config.yaml", str(path))
    file = path / "config.yaml" if path.is_dir() else path
    if file.name == "config.yaml":
        _require_plugins(file)
    return file


def _require_plugins(file: Path) -> None:
    """Refuse the config of a run that was trained with plugins which are not plugged in."""
    try:
        recorded = json.loads((file.parent / PLUGINS).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none, or not ours
        return
    lacking = missing(recorded)
    if lacking:
        options, listed = " ".join(f"--plugin {name}" for name in lacking), ", ".join(f'"{name}"' for name in lacking)
        text = f"was trained with the plugin {', '.join(lacking)}, which is not plugged in"
        raise ConfigError(f"{text}\ngive {options}, in Python plugins=[{listed}]", str(file))


def _features(document: Document) -> Document:
    """The features part: a list in the file, or the path of a features file beside it."""
    value = document.data["features"]
    if isinstance(value, str):
        path = Path(value)
        folder = Path(document.file).parent if document.file else Path()
        path = folder / path
        if "\0" not in value and not path.exists():
            raise ConfigError([document.problem(("features",), f"there is no file {path}")], document.file)
        part = read_yaml(path)
        if not isinstance(part.data.get("features"), list):
            raise ConfigError("needs a list 'features'", part.file)
    else:
        part = document.at(("features",))
        part = Document(
            {"features": part.data},
            {"features": part.raw},
            {("features", *p): v for p, v in part.places.items()},
            part.file,
        )
    hashes = {name: d["hash"] for name, d in (("raw", document.raw), ("data", document.data)) if "hash" in d}
    listed = repeat_names(part.at(("features",)))
    places = {("features", *p): place for p, place in listed.places.items()}
    if hashes:
        places[("hash",)] = document.place(("hash",))
    extra = {"hash": hashes["data"]} if hashes else {k: v for k, v in part.data.items() if k == "hash"}
    return Document({"features": listed.data, **extra}, {"features": listed.raw, **extra}, places, part.file)


def _evaluation(sections: Sections) -> EvalConfig:
    """The `eval` section; training against a catalogue is measured by retrieval where it says nothing."""
    against = sections.data.sampler is not None or isinstance(sections.model, StatisticConfig)
    if not against or sections.eval.retrieval is not None:
        return sections.eval
    return sections.eval.model_copy(update={"retrieval": RetrievalEval()})


def _tasks(model: ModelConfig, data: DataConfig) -> tuple[TaskConfig, ...]:
    label = data.labels[0] if data.labels else MATCH
    return tuple(model.tasks or [TaskConfig(name=label, label=label)])


def _of_tasks(document: Document) -> list[Problem]:
    """Names and labels of tasks that do not fit; read from the document, as other problems must not hide them."""

    def listed(section: str, key: str) -> list[Any]:
        values = document.data.get(section) if isinstance(document.data, dict) else None
        found = values.get(key) if isinstance(values, dict) else None
        return found if isinstance(found, list) else []

    problems, names, labels = [], set[str](), [label for label in listed("data", "labels") if isinstance(label, str)]
    for index, task in enumerate(listed("model", "tasks")):
        name, label = (task.get(key) if isinstance(task, dict) else None for key in ("name", "label"))
        if isinstance(name, str) and name in names:
            text = f"another task is called '{name}'\ngive each task a name of its own"
            problems.append(document.problem(("model", "tasks", index, "name"), text))
        names |= {name} if isinstance(name, str) else set()
        if isinstance(label, str) and label not in labels:
            problems.append(document.problem(("model", "tasks", index, "label"), _no_label(label, labels)))
    return problems


def _across(document: Document, sections: Sections, generator: FeatureGenerator) -> list[Problem]:
    """What one section says of another: tasks' labels, groups' features, the embedding plan."""
    from easyrec.embedding.plan import examine_embeddings  # noqa: PLC0415 (torch-free; a floor above this one)

    problems = []
    model: ModelConfig = sections.model
    for index, task in enumerate(model.tasks or []):
        for label in task.rows.labels if task.rows else ():
            if label not in sections.data.labels:
                text = _no_label(label, sections.data.labels)
                problems.append(document.problem(("model", "tasks", index, "mask"), text))
    if model.tasks and not any(task.weight for task in model.tasks):
        text = "no task has a weight above 0, so there is nothing to learn"
        problems.append(document.problem(("model", "tasks", 0, "weight"), text))
    tasks = [task.name for task in _tasks(model, sections.data)]
    for index, name in enumerate(sections.data.reserved):
        if name in tasks:
            text = f"'{name}' is the name of a task too, and a column of predictions is called like its task"
            text += "\ngive the task another name under model.tasks"
            problems.append(document.problem(("data", "reserved", index), text))
    resolved = _tasks(model, sections.data)
    if isinstance(model, StatisticConfig):
        found = [*model.unfit(resolved), *model.unread(generator.outputs), *_uncounted(sections)]
        return problems + [placed(document, problem) for problem in [*found, *_unmatched(sections, generator)]]
    if not sections.data.labels and sections.data.sampler is None:
        asked = list(_searching(sections))
        if asked:
            return problems + [placed(document, problem) for problem in asked]
        text = "must have at least 1 item, but has 0; rows of a 'sampler' alone need none"
        return [*problems, document.problem(("data", "labels"), text)]
    plan, unplanned = examine_embeddings(generator.outputs, model)
    found = [*model.unfit(resolved), *unplanned, *unfit_batches(sections.data, generator.outputs)]
    sampling = sections.data.negative_sampling
    found += model.unsampled(resolved, sections.data.labels[0]) if sampling and sampling.keep_rate < 1 else []
    for ask in (watched, measured):
        try:
            ask(resolved, _evaluation(sections), sections.train)
        except ConfigError as error:  # noqa: PERF203 (two)
            found += error.problems
    still = [table.features[0] for table in plan.tables if table.keys is not None and not table.trainable]
    found += [*_unmatched(sections, generator)]
    found += [*unfit_dynamic(model, sections.train, [keys.name for keys in plan.keys], still)]
    found += [*unfit_storage(model, sections.train), *unfit_compress(model, sections.train, [])]
    found += sections.export.unknown([table.name for table in plan.tables], list(generator.inputs))
    found += [*model.misfits(plan.layouts, resolved), *sections.train.unweighable(resolved)]
    searched = {"data.sampler": sections.data.sampler, "eval.retrieval": sections.eval.retrieval}
    found += unfit_distill(sections, resolved, searched)
    if sections.train.distributed is not None:
        found += _undistributed(sections, resolved, plan)
    return problems + [placed(document, problem) for problem in found]


def _undistributed(sections: Sections, tasks: Sequence[TaskConfig], plan: EmbeddingPlan) -> list[Problem]:
    """What stands against training by several workers."""
    dynamic = [keys.name for keys in plan.keys]
    pairs = [pair for g in plan.groups.values() for pair in zip(g.layout.sequences, g.sequences, strict=True)]
    compared: dict[str, str] = {}
    for layout, bags in pairs:
        if layout.search is not None and layout.search.kind in ("hash", "soft"):
            bag = bags[[child.name for child in layout.children].index(layout.search.child or "")]
            compared[(bag.table or "").partition(":")[0]] = layout.name
    every = (bag for group in plan.groups.values() for bag in group.bags if bag.part is not None)
    several = list(dict.fromkeys((bag.table or "").partition(":")[0] for bag in every))
    return [
        *unfit_distributed(sections, tasks, [table.name for table in plan.tables], dynamic, compared),
        *unfit_compress(sections.model, sections.train, several, distributed=True),
    ]


def _uncounted(sections: Sections) -> Iterator[Problem]:
    """Keys that are given and would do nothing where rows are counted."""
    kind = sections.model.type
    if sections.data.negative_sampling is not None:
        yield Problem(f"'{kind}' counts what users took, and has no negatives to thin out", "data.negative_sampling")
    if sections.data.sample_weight is not None:
        yield Problem(f"'{kind}' counts all rows alike: leave 'sample_weight' out", "data.sample_weight")
    if sections.distill is not None:
        yield Problem(f"'{kind}' is counted, and learns from no teacher: leave 'distill' out", "distill")
    if sections.train.device != "cpu":
        yield Problem(f"'{kind}' is counted on the processor: leave 'device' out", "train.device")
    try:
        watched(_tasks(sections.model, sections.data), _evaluation(sections), sections.train)
    except ConfigError as error:
        yield from error.problems


def _unmatched(sections: Sections, generator: FeatureGenerator) -> Iterator[Problem]:
    """What stands against comparing users with sampled items, and against ranking the catalogue."""
    data, retrieval = sections.data, _evaluation(sections).retrieval
    yield from _searching(sections)
    yield from unfit_graph(sections.model, data, generator.outputs)
    if data.sampler is None and retrieval is None:
        return
    where = "data.sampler" if data.sampler is not None else "eval.retrieval"
    if not sections.model.item_groups:
        yield Problem(f"'{sections.model.type}' makes no vectors of items that users could be compared with", where)
        return
    key = generator.outputs.get(data.item_id)
    if key is None or key.kind != "sparse":
        known = [name for name, spec in generator.outputs.items() if spec.kind == "sparse"]
        text = f"'{data.item_id}' is no feature of ids{nearest(data.item_id, known)}\nfeatures: {', '.join(known)}"
        yield Problem(text, "data.item_id")
    elif key.dynamic is not None:
        text = f"'{data.item_id}' tells the items of the catalogue apart, which are counted: it cannot be dynamic"
        yield Problem(f"{text}\ngive it num_buckets, hash_bucket_size or a vocabulary", "data.item_id")
    yield from _idle(sections)
    yield from _crossing(sections, generator)
    if retrieval is not None and retrieval.exclude is not None:
        yield from unfit_exclusion(generator, data.item_id, retrieval.exclude, "eval.retrieval.exclude")
    for place, feature in data.sampler.features.items() if data.sampler is not None else ():
        yield from unfit_exclusion(generator, data.item_id, feature, f"data.sampler.{place}")


def _searching(sections: Sections) -> Iterator[Problem]:
    """What stands against learning what a model searches for, or against drawing the nodes of a tree."""
    sampler, model, retrieval = sections.data.sampler, sections.model, _evaluation(sections).retrieval
    for index, metric in enumerate(retrieval.metrics if retrieval is not None and model.searches else ()):
        if metric.drawn is not None:
            text = f"'{model.type}' searches for the best items and scores no others, so that none is ranked among drawn ones"
            text += f"\ntake {metric.type.removeprefix('sampled_')}, which is of the whole catalogue"
            yield Problem(text, f"eval.retrieval.metrics.{index}")
    where, fitting = "data" if sampler is None else "data.sampler", SAMPLERS.get(model.searches or "")
    if model.searches is None:
        if sampler is not None and sampler.type == "tree":
            yield Problem(f"'tree' draws nodes of a tree, and '{model.type}' searches none: take another", where)
    elif sampler is None or sampler.type != fitting:
        text = {
            "codes": "learns to write the items of a sequence and compares them with no others",
            "tree": "learns which nodes of its tree lie above the items of a sequence",
        }[model.searches]
        yield Problem(f"'{model.type}' {text}\nset sampler: {{type: {fitting}}}", where)
    elif model.searches == "tree":
        for key in sorted({"logq", "known"} & sampler.model_fields_set):
            yield Problem(f"does nothing where nodes of a tree are drawn: leave '{key}' out", f"{where}.{key}")
        if isinstance(sampler.negatives, list) and len(sampler.negatives) > model.num_codes:
            text = f"names {len(sampler.negatives)} levels, but the tree has {model.num_codes}"
            yield Problem(text, f"{where}.negatives")


def _idle(sections: Sections) -> Iterator[Problem]:
    """Keys that are given and would do nothing where the catalogue is ranked."""
    evaluation, sampled = sections.eval, sections.data.sampler is not None
    why = "does nothing where the catalogue is ranked"
    if evaluation.metrics:
        yield Problem(f"{why}: list its metrics under eval.retrieval.metrics", "eval.metrics")
    if evaluation.calibration is not None:
        yield Problem(f"{why}, which needs no probabilities", "eval.calibration")
    if sampled and sections.model.tasks is not None:
        yield Problem("with a 'sampler' there is one task, to find what a user took: leave 'tasks' out", "model.tasks")
    if sampled and sections.train.metrics is not None:
        yield Problem("measures tasks by labels, which training with a 'sampler' has none of", "train.metrics")


def _crossing(sections: Sections, generator: FeatureGenerator) -> Iterator[Problem]:
    """Features of one side's groups that need the other side."""
    model = sections.model
    for name in model.groups or {}:
        of_item = name in model.item_groups
        for index, feature in enumerate(model.groups[name].features if model.groups else ()):
            spec = generator.outputs.get(feature)
            if spec is None or ((spec.side == "item") == of_item and not spec.mixed):
                continue
            other = "user" if of_item else "item"
            text = f"'{feature}' reads the {other}, but the group '{name}' describes "
            text += "an item alone, as it is computed once for all users" if of_item else "a user alone"
            yield Problem(text, f"model.groups.{name}.features.{index}")


def unfit_exclusion(generator: FeatureGenerator, key: str, feature: str, where: str) -> Iterator[Problem]:
    """What stands against taking a feature for names of items, such as of those that are left out.

    Args:
        generator: Makes the features.
        key: The feature that tells items apart.
        feature: The feature.
        where: Who names it.
    """
    outputs = generator.outputs
    ids = {n: s for n, s in outputs.items() if s.kind in ("sparse", "sparse_sequence") and n != key}
    if feature not in outputs:
        yield Problem(f"no feature is called '{feature}'{nearest(feature, list(ids))}", where)
    elif key in outputs and (feature not in ids or _table_of(outputs[feature]) != _table_of(outputs[key])):
        text = f"'{feature}' holds no ids of items: it must share the embedding_name of '{key}'"
        yield Problem(text, where)


def _table_of(spec: OutputSpec) -> str:
    return str(spec.config.embedding_name or spec.config.name)


def _no_label(name: str, labels: Sequence[str]) -> str:
    text = f"'{name}' is not among data.labels: {', '.join(labels)}{nearest(name, labels)}"
    return f"{text}\nadd its column to data.labels, or name one of those"
