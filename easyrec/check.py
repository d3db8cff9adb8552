"""What can be known of an experiment before anything trains: its model, built; its data, sampled; and its plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from easyrec import models
from easyrec.config import Experiment
from easyrec.config.parts import NO_ITEMS, NO_ROWS, unmet
from easyrec.config.statistic import StatisticConfig
from easyrec.data import PARTS, Part, Sample, make_loader, open_sources, sample, unread
from easyrec.data.catalogue import Catalogue, read_catalogue
from easyrec.data.sides import Sides
from easyrec.embedding.plan import EmbeddingPlan, plan_embeddings
from easyrec.embedding.tiers import place
from easyrec.errors import ConfigError, DataError, Problem
from easyrec.models._boxes import Picture
from feature_generator import FeatureGenerator

STATE_PER_WEIGHT = {"adam": 2.0, "lazy_adam": 2.0, "adagrad": 1.0, "ftrl": 2.0, "sgd": 0.0, "rowwise_adagrad": 0.0}
"""Numbers that a sparse optimizer keeps beside each weight."""
STATE_PER_ROW = {"rowwise_adagrad": 1.0}
"""Numbers that it keeps beside each row."""


@dataclass(frozen=True)
class Memory:
    """Bytes that training holds, batches not counted.

    Attributes:
        tables: Weights of the embedding tables.
        optimizer: What the sparse optimizer keeps of them.
        dense: The dense part with its gradient and optimizer state.
        disk: What the tables take where not all of their rows are in memory.
        hot: Rows in memory of each table that is partly there.
    """

    tables: int
    optimizer: int
    dense: int
    disk: int = 0
    hot: int = 0

    @property
    def total(self) -> int:
        """All together."""
        return self.tables + self.optimizer + self.dense


@dataclass(frozen=True)
class Built:
    """The model, as far as its config alone decides.

    Attributes:
        plan: Tables and groups.
        model: The dense part; None of a statistic, which is counted.
    """

    plan: EmbeddingPlan
    model: models.Model | None

    @property
    def dense_parameters(self) -> int:
        """Weights of the dense part."""
        return 0 if self.model is None else sum(p.numel() for p in self.model.parameters())

    def picture(self) -> Picture:
        """The model as boxes, for `easyrec.report.graph`."""
        if self.model is None:
            raise ConfigError("a statistic has no layers that could be drawn")
        from easyrec.models._picture import picture  # noqa: PLC0415 (torch stays out until a model is built)

        return picture(self.model, self.plan)


@dataclass(frozen=True)
class Inspection:
    """What `inspect` found.

    Attributes:
        experiment: The experiment.
        samples: What a first look shows, by part; all rows as `train` where a split divides one source.
        plan: Tables and groups.
        dense_parameters: Weights of the dense part.
        unsearchable: Why the items cannot be searched, or nothing.
    """

    experiment: Experiment
    samples: dict[str, Sample]
    plan: EmbeddingPlan
    dense_parameters: int
    unsearchable: str = ""

    @property
    def memory(self) -> Memory:
        """Memory of the training step."""
        kind = self.experiment.train.sparse_optimizer.type
        weights, rows = self.plan.parameters, sum(table.rows for table in self.plan.tables)
        state = STATE_PER_WEIGHT[kind] * weights + STATE_PER_ROW.get(kind, 0.0) * rows
        copies = 1 if self.experiment.model.propagated_layers() is None else 2  # what is trained, and what is looked up
        keys = sum(keys.bytes for keys in self.plan.keys)
        tables, optimizer, dense = 4 * copies * weights + keys, int(4 * state), 16 * self.dense_parameters
        storage = self.experiment.train.storage
        placing = None if storage is None else place(self.plan, kind, storage.memory_mb << 20)
        if placing is None or not placing.tiers:
            return Memory(tables, optimizer, dense)
        ours = placing.bytes * tables // (tables + optimizer)
        return Memory(ours, placing.bytes - ours, dense, placing.disk, placing.tiers[0].slots)

    def doubts(self) -> list[str]:
        """What may be meant but seldom is, one sentence each."""
        from easyrec.device import open_device  # noqa: PLC0415 (torch stays out until a model is built)

        read = {column.partition("__")[0] for column in self.experiment.generator.inputs}
        labels = [name for name in self.experiment.data.labels if name in read]
        found = [
            f"the label '{name}' is also read by a feature: is it known when the item is shown?" for name in labels
        ]
        part, sample = next(iter(self.samples.items()))
        missing = [name for name, seen in sample.columns.items() if seen.missing == 1.0 and sample.rows]
        found += [f"{part}: the column '{name}' has no value in any sampled row" for name in missing]
        found += [
            f"the feature '{name}' knows none of the sampled values: is its vocabulary that of the data?"
            for name, seen in sample.features.items()
            if seen.unknown == 1.0
        ]
        found += [
            f"{part}: no sampled row counts for the task '{task.name}': are its mask '{task.mask}' and the labels right?"
            for task in self.experiment.tasks
            if task.rows is not None and sample.counted.get(task.rows) == 0.0
        ]
        found += self.experiment.doubts()
        try:
            open_device(self.experiment.train.device)
        except ConfigError as error:
            found += [f"train.device: {problem.message}, so nothing can be trained here" for problem in error.problems]
        return found

    def faults(self) -> list[str]:
        """What would stop training or spoil it, one sentence each."""
        found, fails = [], self.experiment.data.bad_rows == "fail"
        for part, seen in self.samples.items():
            if not seen.rows:
                found.append(f"{part}: has no rows")
            found += [
                f"{part}: label '{name}' is unusable in {_share(label.unusable)} of the rows: {label.wrong}"
                for name, label in seen.labels.items()
                if label.unusable and (fails or label.unusable == 1.0)
            ]
            weights = seen.weights
            if weights is not None and weights.unusable and (fails or weights.unusable == 1.0):
                share, column = _share(weights.unusable), self.experiment.data.sample_weight
                found.append(f"{part}: sample weight '{column}' is unusable in {share} of the rows: {weights.wrong}")
            found += [
                f"{part}: label '{name}' is {next(iter(label.values))} in all rows"
                for name, label in seen.labels.items()
                if part == "train" and len(label.values) == 1
            ]
            if fails:
                found += [f"{part}: column '{column}': {reason}, {n} times" for (column, reason), n in seen.bad.items()]
        return found + ([self.unsearchable] if self.unsearchable else [])


def _share(part: float) -> str:
    return f"{part:.1%}" if part >= 0.001 else "less than 0.1%"


def build(experiment: Experiment) -> Built:
    """Build the model as training does.

    Raises:
        ConfigError: The groups do not suit the model.
    """
    from easyrec.export.trial import try_out  # noqa: PLC0415 (torch stays out until a model is built)

    if isinstance(experiment.model, StatisticConfig):
        return Built(EmbeddingPlan((), {}), None)
    plan = plan_embeddings(experiment.generator.outputs, experiment.model)
    try:
        model = models.build(experiment.model, plan, experiment.tasks)
    except ConfigError as error:
        raise experiment.placed(error) from None
    try_out(model, plan.layouts, experiment.tasks)
    return Built(plan, model)


def inspect(
    experiment: Experiment,
    built: Built,
    rows: int = 10_000,
    search: Callable[[Experiment, Catalogue], object] | None = None,
) -> Inspection:
    """Sample every part of an experiment's data.

    Args:
        experiment: A valid experiment.
        built: What `build` gave.
        rows: Rows to read of each part, spread over it.
        search: Raises where the items of a model that searches them do not fit what it knows them by.

    Raises:
        ConfigError: The data lack what the config asks for, columns above all: of all parts, in one report.
        DataError: A source cannot be read.
    """
    samples: dict[str, Sample] = {}
    unsearchable = ""
    sources = open_sources(experiment)
    if sources.train is None:
        raise experiment.placed(ConfigError([NO_ROWS]))
    parts: dict[str, Part] = {name: part for name in PARTS if (part := getattr(sources, name)) is not None}
    evaluated = [part for name, part in parts.items() if name != "train"]
    made = generators(experiment)
    if made and sources.items is None:
        raise experiment.placed(ConfigError([NO_ITEMS]))
    absent = unread(experiment, [sources.train], training=True), unread(experiment, evaluated, training=False)
    counted, steps, endless, problems = (
        True,
        True,
        False,
        [problem for found in absent for listed in found.values() for problem in listed],
    )
    parts = {"train": sources.train} if experiment.data.split else parts  # a split reads one source
    if sources.items is not None:
        parts["items"] = Part(sources.items)
    for name, part in parts.items():
        named = [column for column in columns(experiment, name) if all(column not in found for found in absent)]
        generator = made.get(name, experiment.generator)
        labels = classes(experiment) if generator is experiment.generator else {}
        try:
            weight = None if name == "items" or _ranked(experiment, name) else experiment.data.sample_weight
            masks = [task.rows for task in experiment.tasks if task.rows is not None and labels]
            extra = named if name != "items" else ()
            samples[name] = sample(part.source, rows, generator, labels, extra, weight, masks)
            if name == "train" and not problems:
                loader = make_loader(experiment, part, generator, training=True, labels=bool(labels))
                counted, steps = loader.num_rows is not None, loader.num_batches is not None
                endless = loader.source.endless
        except ConfigError as error:
            problems += [Problem(p.message, f"data.{name}") for p in error.problems]
        finally:
            part.source.close()
    trained = built.model is not None
    problems += (
        []
        if not trained
        else unmet(
            experiment.train,
            experiment.eval,
            valid=sources.valid is not None,
            counted=counted,
            steps=steps,
            endless=endless,
        )
    )
    if search is not None and experiment.model.searches and "items" in samples:
        try:
            search(experiment, read_catalogue(parts["items"].source, Sides(experiment)))
        except ConfigError as error:
            problems += error.problems
        except DataError as error:
            unsearchable = str(error)
        finally:
            parts["items"].source.close()
    if problems:
        raise experiment.placed(ConfigError(problems))
    return Inspection(experiment, samples, built.plan, built.dense_parameters, unsearchable)


def classes(experiment: Experiment) -> dict[str, int | None]:
    """For each label what its task says of it, see `TaskConfig.label_classes`."""
    found: dict[str, int | None] = dict.fromkeys(experiment.data.labels)
    for task in experiment.tasks:
        if task.label in found:
            found[task.label] = task.label_classes
    return found


def generators(experiment: Experiment) -> dict[str, FeatureGenerator]:
    """What makes the features of each part where a catalogue is ranked; empty where none is."""
    if experiment.eval.retrieval is None:
        return {}
    sides = Sides(experiment)
    against = experiment.data.sampler is not None or isinstance(experiment.model, StatisticConfig)
    learned = sides.generator("learned") if against else experiment.generator
    return {
        "train": learned,
        "valid": sides.generator("asked"),
        "test": sides.generator("asked"),
        "items": sides.generator("items"),
    }


def _ranked(experiment: Experiment, part: str) -> bool:
    """Whether the rows of a part say what was wanted of a catalogue."""
    return experiment.eval.retrieval is not None and part != "train"


def columns(experiment: Experiment, part: str) -> list[str]:
    """Raw columns of a part that are read beside features and labels."""
    data = experiment.data
    names = list(data.reserved)
    if part == "train":
        names += experiment.training_columns
        names += [experiment.shuffle.together] if experiment.shuffle and experiment.shuffle.together else []
        names += [data.event_time] if data.event_time else []
    ranked = _ranked(experiment, part)
    if part != "train" or data.split:
        names += experiment.eval.slices if ranked else experiment.eval.columns(experiment.tasks)
    names += [data.split.column] if data.split else []
    names += [data.leakage.time, *data.leakage.sequences] if data.leakage else []
    return [name for name in dict.fromkeys(names) if not experiment.is_made(name)]
