"""The data of a model that is taught: the rows of each part, with what the teachers say of them."""

from __future__ import annotations

import copy
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from easyrec.config import Experiment
from easyrec.config.distill import WEIGHT, CandidatesConfig
from easyrec.data import PARTS, Part, Source, Sources
from easyrec.data.content import content_of
from easyrec.data.joined import JoinedSource
from easyrec.data.lists import ListSource
from easyrec.data.sources import Unit
from easyrec.errors import ConfigError, Problem
from easyrec.train.teachers import Lessons, Scores, Teacher, make_all
from easyrec.workers import Workers

logger = logging.getLogger("easyrec.train")

TEACHERS = "teachers"
"""Folder of what teachers say, in that of a run."""


@dataclass
class Taught:
    """An experiment over rows that teachers speak of.

    Attributes:
        experiment: It reads columns that are made.
        sources: The parts that have them.
        types: The columns of what is taught of training rows.
        wanted: What the teachers are asked, and of which units.
    """

    experiment: Experiment
    sources: Sources
    types: Mapping[str, pa.DataType]
    wanted: list[tuple[Scores, Sequence[Unit]]] = field(default_factory=list)

    def prepare(
        self, workers: Workers | None = None, idle: Callable[[], None] = lambda: None, *, bar: bool | None = None
    ) -> None:
        """Ask the teachers what they were not asked before; stopped at any moment, the same call goes on.

        Args:
            workers: Those that train together; each asks for its share.
            idle: Called between batches; what it raises ends the work.
            bar: Whether to draw a progress bar; default: whether stderr is a terminal.

        Raises:
            DataError: A row cannot be scored.
            RunError: The disk refuses.
        """
        job = workers or Workers()
        shown = job.first and (sys.stderr.isatty() if bar is None else bar)
        make_all(self.wanted, (job.rank, job.size), idle, bar=shown)
        job.texts("")  # all have what all have made


def evaluated(experiment: Experiment, parts: Sequence[str] = ("valid", "test")) -> list[str]:
    """Those of the parts that are evaluated which teachers speak of: all, where a metric reads what they say."""
    asked = any(column.startswith("teacher:") for column in experiment.eval.columns(experiment.tasks))
    return list(parts) if asked else []


def teach(experiment: Experiment, sources: Sources, folder: Path, parts: Sequence[str] | None = None) -> Taught | None:
    """Lay what teachers say beside the rows of an experiment. Nothing is scored, and no file is written, yet.

    Args:
        experiment: Who learns.
        sources: The parts.
        folder: Of the run, where the cache is unless the config names another.
        parts: Parts that the teachers speak of. Default: `train`, where anything is learned of them, and `evaluated`.

    Returns:
        None where there is no teacher.

    Raises:
        ConfigError: A teacher is not there, or does not fit; the data lack a column.
    """
    config = experiment.distill
    if config is None:
        return None
    if parts is None:
        parts = (["train"] if config.alpha else []) + evaluated(experiment)
    layers = {n: loss for n, loss in enumerate(config.losses) if loss.of_layers and "train" in parts and config.alpha}
    try:
        teachers = [
            Teacher(
                one,
                number,
                experiment.tasks,
                experiment.data.fg,
                {n: (loss.teacher, loss.type == "attention") for n, loss in layers.items() if loss.of == number},
            )
            for number, one in (config.models.items() if parts else ())
        ]
        listed = _Lists(experiment, sources.items) if config.candidates is not None else None
        found, wanted = {}, []
        for name in PARTS:
            part: Part | None = getattr(sources, name)
            if part is not None:
                found[name], asked_of = _taught(experiment, part, teachers if name in parts else None, listed, folder)
                wanted += asked_of
    except ConfigError as error:
        raise experiment.placed(error) from None
    learner = copy.copy(experiment)
    source = found["train"].source if "train" in found else None
    types = source.joined.types if isinstance(source, JoinedSource) else {}
    learner.taught = tuple(types)
    if listed is not None:
        learner.data = experiment.data.model_copy(update={"sample_weight": WEIGHT})
    return Taught(learner, Sources(**found, items=sources.items), types, wanted)


def _taught(
    experiment: Experiment, part: Part, teachers: Sequence[Teacher] | None, listed: _Lists | None, folder: Path
) -> tuple[Part, list[tuple[Scores, Sequence[Unit]]]]:
    """A part with the columns that are made, and what is wanted of the teachers for it."""
    config = experiment.distill
    assert config is not None
    base, source, made = part.source, part.source, None
    if teachers is not None and base.endless:
        text = "rows without an end cannot be scored before they are learned"
        raise ConfigError([Problem(f"{text}: take a column for a teacher", f"data.{part.name}.follow")])
    if listed is not None:
        source, made = listed.of(part)
    if teachers is None:
        return replace(part, source=source), []
    for column in (one.column for one in config.teachers if one.column is not None):
        if column not in source.columns:
            number = next(n for n, one in enumerate(config.teachers) if one.column == column)
            text = f"data.{part.name} has no column {source.hint(column)}"
            raise ConfigError([Problem(text, f"distill.teachers.{number}.column")])
    cache = Path(config.cache) if config.cache is not None else folder / TEACHERS
    try:
        scores = [Scores(one, source, cache, made, base, experiment.data.bad_rows) for one in teachers]
    except ConfigError as error:
        text = "a teacher reads more than the rows have"
        raise ConfigError(
            [replace(p, message=f"{text}: {p.message}", where="distill.teachers") for p in error.problems]
        ) from None
    units = source.units() if part.predicate is None else part.predicate.units(source)
    joined = JoinedSource(source, Lessons(experiment, scores))
    return replace(part, source=joined), [(one, units) for one in scores]


class _Lists:
    """Makes lists of candidates of rows.

    Args:
        experiment: Who learns.
        items: The catalogue.

    Raises:
        ConfigError: There is no catalogue, or it shares no column with the rows.
    """

    def __init__(self, experiment: Experiment, items: Source | None) -> None:
        assert experiment.distill is not None
        assert experiment.distill.candidates is not None
        self.config: CandidatesConfig = experiment.distill.candidates
        self.labels = experiment.data.labels
        if items is None:
            text = "candidates are drawn from a catalogue, one row per item: items: {type: parquet, path: ...}"
            raise ConfigError([Problem(text, "data.items")])
        self.source = items
        self._read: pa.Table | None = None

    def of(self, part: Part) -> tuple[ListSource, Any]:
        """The rows of a part and the lists that they begin, and what these are made of, as plain JSON."""
        names = [name for name in self.source.columns if name in part.source.columns and name not in self.labels]
        if not names:
            text = (
                f"the catalogue shares no column with data.{part.name}\nits columns: {', '.join(self.source.columns)}"
            )
            raise ConfigError([Problem(text, "data.items")])
        if self._read is None:
            logger.info("candidates differ from their rows in: %s", ", ".join(names))
        if self._read is None or self._read.column_names != names:
            batches = [batch for unit in self.source.units() for batch in self.source.read(unit, names)]
            self._read = pa.Table.from_batches(batches) if batches else pa.table({name: [] for name in names})
        training = part.name == "train"
        number = self.config.items if training else self.config.evaluated
        stride = 1 if training else max((part.source.num_rows or 0) // self.config.lists, 1)
        made = [number, stride, self.config.seed, content_of(self.source, names)]
        return ListSource(part.source, self._read, number, stride, self.config.seed, self.labels), made
