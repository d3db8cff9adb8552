"""Data: sources of rows, and the loader that makes batches of them.

Importing this loads no torch; iterating over a `Loader` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from easyrec.config.batches import counted_steps
from easyrec.config.data import DataConfig
from easyrec.data.batch_cost import BatchCost
from easyrec.data.beside import raw_name
from easyrec.data.intake import Demand
from easyrec.data.loader import Loader
from easyrec.data.matching import Matcher
from easyrec.data.report import Report
from easyrec.data.sample import Sample, sample
from easyrec.data.sources import Source, SourceConfig, Unit
from easyrec.data.sources.frame import FrameSource
from easyrec.data.split import Part, PartName, part_of
from easyrec.errors import ConfigError, DataError, Problem, nearest
from feature_generator.config import Document, validate

if TYPE_CHECKING:
    from easyrec.config import Experiment
    from feature_generator import FeatureGenerator

__all__ = [
    "Demand",
    "Loader",
    "Part",
    "Report",
    "Sample",
    "Source",
    "Sources",
    "Unit",
    "make_loader",
    "open_sources",
    "sample",
    "unread",
]

PARTS: tuple[PartName, ...] = ("train", "valid", "test")
SYNTHETIC = "synthetic"
"""Column of truth values that is true of rows that a model made up, as `easyrec llm augment` writes it."""


@dataclass(frozen=True)
class Sources:
    """The parts of an experiment's data, and the catalogue; None where the config names none."""

    train: Part | None = None
    valid: Part | None = None
    test: Part | None = None
    items: Source | None = None


def open_sources(experiment: Experiment | DataConfig, data: Mapping[str, Any] | None = None) -> Sources:
    """Open the data of an experiment.

    Args:
        experiment: Its `data` section says where rows are and how one source is split.
        data: Sources by part that stand in for the config's: what `FrameSource` takes, a `Source`, or a mapping
            such as `{"type": "parquet", "path": ...}`.

    Raises:
        ConfigError: A source cannot be what the config says; `data` names an unknown part.
        DataError: There is nothing to read, or a file is damaged.
    """
    config = experiment if isinstance(experiment, DataConfig) else experiment.data
    for name in data or {}:
        if name not in (*PARTS, "items"):
            known = f"there is no part '{name}'{nearest(name, PARTS)}; known: train, valid, test, items"
            raise ConfigError([Problem(known)])
    given = data or {}
    items = _open(experiment, "items", given.get("items"))
    opened = {name: _open(experiment, name, given.get(name)) for name in PARTS}
    if config.split is None:
        parts = {name: Part(source, None, name) for name, source in opened.items() if source is not None}
        return Sources(**parts, items=items)
    whole = opened["train"]
    if whole is None or opened["valid"] or opened["test"]:
        raise ConfigError([Problem("'split' divides 'train', and there must be no other source", "data . split")])
    column = raw_name(config.split.column, whole.columns, config.fg)
    try:
        whole.require([column], "data.split.column")
        split, kind = config.split.model_copy(update={"column": column}), whole.columns[column]
        parts = {name: Part(whole, part_of(split, name, kind), name) for name in PARTS}
    except ConfigError as error:
        raise error if isinstance(experiment, DataConfig) else experiment.placed(error) from None
    if config.split.by == "time" and config.split.test_from is None:
        del parts["test"]
    return Sources(**parts, items=items)


def _open(experiment: Experiment | DataConfig, name: PartName | Literal["items"], given: Any) -> Source | None:
    config = experiment if isinstance(experiment, DataConfig) else experiment.data
    if isinstance(given, Source):
        return given
    if isinstance(given, Mapping) and isinstance(given.get("type"), str):
        given = validate(DataConfig, Document.of({"labels": config.labels or ["-"], name: dict(given)}))
        given = getattr(given, name)
    if given is not None and not isinstance(given, SourceConfig):
        return FrameSource(given, name)
    source: SourceConfig | None = given or getattr(config, name)
    if source is None:
        return None
    try:
        return source.open(config.bad_rows)
    except ConfigError as error:
        if given is not None or isinstance(experiment, DataConfig):
            raise
        raise experiment.placed(ConfigError([_inside(problem, name) for problem in error.problems])) from None
    except DataError as error:
        if given is not None or isinstance(experiment, DataConfig):
            raise
        (asked,) = experiment.placed(ConfigError([Problem("", f"data.{name}")])).problems
        raise error.asked_by(asked) from error


def _inside(problem: Problem, name: str) -> Problem:
    """A problem of a source as one of the config: its `where` is a key of the source, its `file` a table or a query."""
    message = f"{problem.file}: {problem.message}" if problem.file else problem.message
    return Problem(message, f"data.{name}.{problem.where}" if problem.where else f"data.{name}")


def _cost(experiment: Experiment, shard: tuple[int, int]) -> BatchCost | None:
    """What bounds a worker's part of the batches of training beside its number of rows."""
    bound = experiment.data.batch_cost
    if bound is None:
        return None
    names = [names[0] for names in counted_steps(bound, experiment.generator.outputs)]
    return BatchCost(names, _share(bound.most, shard))


def make_loader(
    experiment: Experiment,
    part: Part | Source,
    generator: FeatureGenerator | None = None,
    *,
    training: bool,
    labels: bool = True,
    weights: bool | None = None,
    reserved: Sequence[str] | None = None,
    shard: tuple[int, int] = (0, 1),
    matcher: Matcher | None = None,
    measured: bool | None = None,
) -> Loader:
    """The loader of one part.

    Args:
        experiment: Its `data` and `train.seed` sections, and the tasks that the labels are for.
        part: What to read.
        generator: Default: the experiment's.
        training: Shuffle, sample negatives, and merge a last batch of one row; else read in order, in batches of
            `eval_batch_size`.
        labels: Whether labels are read; prediction needs none.
        weights: Whether sample weights are read; default: where labels are.
        reserved: Raw columns to pass through; default: in training those that losses and metrics group by, else
            `data.reserved`, `eval.slices` and the columns that metrics group by.
        shard: (i, n): this worker's number and how many share the data, and the rows of each batch.
        matcher: Gives the batches items that their users are compared with.
        measured: Whether a model is measured by the rows: none of them may be synthetic then. Default: where labels of `valid` or
            `test` are read and nothing is trained.

    Raises:
        ConfigError: The data lacks a column.
        DataError: Files disagree about a column.
    """
    config = experiment.data
    part = Part(part) if isinstance(part, Source) else part
    classes: dict[str, int | None] = dict.fromkeys(config.labels, None)
    for task in experiment.tasks:
        if task.label in config.labels:
            classes[task.label] = task.label_classes
    if measured is None:
        measured = labels and not training and part.name in ("valid", "test")
    shuffle = experiment.shuffle if training else None
    absent: dict[str, list[Problem]] = {} if reserved is not None else unread(experiment, [part], training=training)
    if reserved is None:
        evaluated = [*config.reserved, *experiment.eval.columns(experiment.tasks)]
        reserved = experiment.training_columns if training else evaluated
    if training and config.event_time is not None:
        reserved = [*reserved, config.event_time]
    if shuffle is not None and shuffle.together is not None:
        reserved = [*reserved, shuffle.together]

    def unmade(name: str) -> bool:  # where a config is checked, nothing is taught
        return experiment.is_made(name) and name not in part.source.columns

    demand = Demand(
        labels=classes if labels else {},
        sample_weight=config.sample_weight if (labels if weights is None else weights) else None,
        reserved=[name for name in dict.fromkeys(reserved) if name not in absent and not unmade(name)],
        predicate=part.predicate,
        negatives=config.negative_sampling if training else None,
        leakage=config.leakage,
        bad_rows=config.bad_rows,
        seed=experiment.train.seed,
        threads=config.threads,
        missing=None if matcher is None else matcher.missing,
        made_up=SYNTHETIC if measured and _tells_synthetic(part) else None,
    )
    problems = [problem for found in absent.values() for problem in found]
    if part.source.endless and not training:
        text = "rows without an end can be learned from, but neither evaluated nor predicted"
        problems.append(Problem(text, f"data.{part.name}.follow" if part.name else "data"))
    if part.source.endless and part.predicate is not None:
        problems.append(Problem("divides rows, but these have no end: give each part a source", "data.split"))
    if training and config.event_time is not None:
        kind = part.columns.get(raw_name(config.event_time, part.columns, config.fg))
        if kind is not None and (pa.types.is_nested(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)):
            problems.append(Problem(f"'{config.event_time}' is {kind}, which is no time", "data.event_time"))
    try:
        loader = Loader(
            part.source,
            generator or experiment.generator,
            demand,
            batch_size=_share(config.batch_size if training else config.rows_per_eval_batch, shard),
            shuffle=shuffle,
            seed=experiment.train.seed,
            shard=shard,
            prefetch=config.prefetch,
            merge_single=training,
            matcher=matcher,
            cost=_cost(experiment, shard) if training else None,
            drop_last=training and config.remainder == "drop",
            may_be_empty=not training,
        )
    except ConfigError as error:
        where = f"data.{part.name}" if part.name else ""
        problems += [Problem(p.message, where or p.where) for p in error.problems]
    if problems:
        raise experiment.placed(ConfigError(problems))
    return loader


def _tells_synthetic(part: Part) -> bool:
    """Whether the data says which of its rows a model made up."""
    kind = part.columns.get(SYNTHETIC)
    return kind is not None and pa.types.is_boolean(kind)


def _share(rows: int, shard: tuple[int, int]) -> int:
    """A worker's rows of a batch of all workers."""
    rank, size = shard
    return max(1, rows // size + (rank < rows % size))


def unread(experiment: Experiment, parts: Sequence[Part], *, training: bool) -> dict[str, list[Problem]]:
    """Columns that losses, metrics and slices name and parts lack, each with the problems of those that name it.

    Args:
        experiment: The experiment.
        parts: Parts of its data.
        training: Whether rows of the parts are learned from; else they are evaluated.
    """
    found: dict[str, list[Problem]] = {}
    for where, column in experiment.readers(training=training):
        lacking = [p for p in parts if raw_name(column, p.source.columns, experiment.data.fg) not in p.source.columns]
        if lacking:
            one = "train" if experiment.data.split else None  # whose rows are those of every part
            names = list(dict.fromkeys(f"data.{one or part.name}" for part in lacking if part.name))
            text = f"{' and '.join(names) or 'the data'} {'have' if len(names) > 1 else 'has'} no column "
            text += f"{lacking[0].source.hint(column)}\nname one of these, or add the column to the data"
            found.setdefault(column, []).append(Problem(text, where))
    return found
