"""What can be known of an experiment before anything trains: its data, sampled, and its plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from easyrec.config import Experiment, TaskConfig
from easyrec.data import Sample, open_sources, sample
from easyrec.embedding.plan import EmbeddingPlan, plan_embeddings
from easyrec.errors import ConfigError, Problem

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
    """

    tables: int
    optimizer: int
    dense: int

    @property
    def total(self) -> int:
        """All together."""
        return self.tables + self.optimizer + self.dense


@dataclass(frozen=True)
class Inspection:
    """What `inspect` found.

    Attributes:
        experiment: The experiment.
        samples: What a first look shows, by part; all rows as `train` where a split divides one source.
        plan: Tables and groups.
        dense_parameters: Weights of the dense part.
    """

    experiment: Experiment
    samples: dict[str, Sample]
    plan: EmbeddingPlan
    dense_parameters: int

    @property
    def memory(self) -> Memory:
        """Memory of the training step."""
        kind = self.experiment.train.sparse_optimizer.type
        weights, rows = self.plan.parameters, sum(table.rows for table in self.plan.tables)
        state = STATE_PER_WEIGHT[kind] * weights + STATE_PER_ROW.get(kind, 0.0) * rows
        return Memory(4 * weights, int(4 * state), 16 * self.dense_parameters)

    def faults(self) -> list[str]:
        """What would stop training or spoil it, one sentence each."""
        found = []
        for part, seen in self.samples.items():
            if not seen.rows:
                found.append(f"{part}: has no rows")
            found += [
                f"{part}: label '{name}' is unusable in {label.unusable:.1%} of the rows"
                for name, label in seen.labels.items()
                if label.unusable
            ]
            found += [
                f"{part}: label '{name}' is {next(iter(label.values))} in all rows"
                for name, label in seen.labels.items()
                if part == "train" and len(label.values) == 1
            ]
            if self.experiment.data.bad_rows == "fail":
                found += [f"{part}: column '{column}' {reason}, {n} times" for (column, reason), n in seen.bad.items()]
        return found


def inspect(experiment: Experiment, rows: int = 10_000) -> Inspection:
    """Sample every part of the experiment's data and resolve its plan.

    Args:
        experiment: A valid experiment.
        rows: Rows to read of each part, spread over it.

    Raises:
        ConfigError: A source lacks columns: all of them, of all parts, in one report.
        DataError: A source cannot be read.
    """
    samples: dict[str, Sample] = {}
    problems: list[Problem] = []
    sources = open_sources(experiment)
    parts = {"train": sources.train} if experiment.data.split else vars(sources)  # a split reads one source
    for name, part in parts.items():
        if part is None:
            continue
        try:
            samples[name] = sample(part.source, rows, experiment.generator, classes(experiment), columns(experiment))
        except ConfigError as error:
            problems += [experiment.document.problem(("data", name), p.message) for p in error.problems]
        finally:
            part.source.close()
    if problems:
        raise ConfigError(problems, experiment.document.file)
    plan = plan_embeddings(experiment.generator.outputs, experiment.model)
    return Inspection(experiment, samples, plan, dense_parameters(experiment, plan))


def classes(experiment: Experiment) -> dict[str, int | None]:
    """For each label the number of classes that its task says; None for a plain number."""
    found: dict[str, int | None] = dict.fromkeys(experiment.data.labels)
    for task in experiment.tasks:
        found[task.label] = _classes(task)
    return found


def _classes(task: TaskConfig) -> int | None:
    return 2 if task.type == "binary" else task.num_classes


def columns(experiment: Experiment) -> list[str]:
    """Raw columns that are read beside features and labels."""
    data = experiment.data
    names = [*data.reserved, *experiment.eval.columns(experiment.tasks)]
    names += [data.sample_weight] if data.sample_weight else []
    names += [data.split.column] if data.split else []
    names += [data.leakage.time, *data.leakage.sequences] if data.leakage else []
    return list(dict.fromkeys(names))


def dense_parameters(experiment: Experiment, plan: EmbeddingPlan) -> int:
    """Weights of the model's dense part."""
    from easyrec.models import build  # noqa: PLC0415 (torch: only when it counts)

    build_: Callable[..., Any] = build
    return sum(p.numel() for p in build_(experiment.model, plan, experiment.tasks).parameters())
