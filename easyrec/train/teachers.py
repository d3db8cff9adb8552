"""Teachers: trained models that score rows once, and the columns that their scores become."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from tqdm import tqdm

from easyrec import models
from easyrec.batch import Batch, as_tensor
from easyrec.config import Experiment, load_experiment
from easyrec.config.distill import TYPES, TeacherConfig, layer_column, taught
from easyrec.config.model import TaskConfig
from easyrec.config.statistic import StatisticConfig
from easyrec.data.content import content_of
from easyrec.data.intake import Demand, Intake, raw_columns
from easyrec.data.joined import Joined
from easyrec.data.labels import read_label
from easyrec.data.prefetch import Prefetch
from easyrec.data.rows import Rows
from easyrec.data.sources import Source, Unit
from easyrec.durable import sync, write_text
from easyrec.embedding.plan import plan_embeddings
from easyrec.errors import ConfigError, DataError, Problem, RunError
from easyrec.train.former import located
from easyrec.train.layers import Layer, layer_of, listening
from easyrec.train.restore import experiment_of_bundle, restore, restore_bundle
from easyrec.train.run_folder import CALIBRATION
from easyrec.train.scorer import Scorer

if TYPE_CHECKING:
    from easyrec.data.sources import Policy

logger = logging.getLogger("easyrec.train")

SMALLEST = 1e-7
"""Probabilities of teachers are kept so far from 0 and 1: of what float32 tells apart there is no more."""
ROWS = 1 << 14
"""Rows that are scored at once."""
OPENED = 8
"""Files of scores that are kept open."""


class Teacher:
    """A trained model that teaches.

    Args:
        config: Which one.
        number: Its number among the teachers.
        tasks: What is predicted here.
        mode: What the columns hold that it is to score: raw values, or features.
        layers: Layers that are read, by the loss that reads them; whether they are of steps.

    Attributes:
        tasks: Task here -> task there.
        types: The columns of what it says.

    Raises:
        ConfigError: There is no such model, it predicts nothing of what is predicted here, or it has no such layer.
    """

    def __init__(
        self,
        config: TeacherConfig,
        number: int,
        tasks: Sequence[TaskConfig],
        mode: str,
        layers: Mapping[int, tuple[str, bool]],
    ) -> None:
        assert config.path is not None
        self.config, self.where = config, f"distill.teachers.{number}"
        self.folder, self.bundled = located(config.path, f"{self.where}.path")
        self.experiment = self._experiment("encoded" if mode == "encoded" else "raw")
        self.tasks = self._matched(tasks)
        self.layers = {index: self._layer(index, name, steps) for index, (name, steps) in layers.items()}
        self.types: dict[str, pa.DataType] = {}
        for task in tasks:
            if task.name in self.tasks:
                classes = task.num_classes
                self.types[taught(task.name)] = pa.list_(pa.float32(), classes) if classes else pa.float32()
        for index, layer in self.layers.items():
            self.types[layer_column(index)] = pa.list_(pa.float32(), -1 if layer.width is None else layer.width)

    def _experiment(self, mode: Any) -> Experiment:
        if self.bundled:
            return experiment_of_bundle(self.folder, mode)
        run = self.folder.parent.parent
        if not (run / "config.yaml").is_file():
            text = f"{self.folder} lies in no run, whose config.yaml says what it is: name a run or a bundle"
            raise ConfigError([Problem(text, f"{self.where}.path")])
        return load_experiment(run, {"data.fg": mode})

    def _matched(self, tasks: Sequence[TaskConfig]) -> dict[str, str]:
        """Task here -> task there."""
        if isinstance(self.experiment.model, StatisticConfig):
            text = f"'{self.experiment.model.type}' is counted and scores no rows: take a model that is trained"
            raise ConfigError([Problem(text, f"{self.where}.path")])
        there = {task.name: task for task in self.experiment.tasks}
        able = [task for task in tasks if task.type in TYPES]
        found = {task.name: task.name for task in able if task.name in there}
        if not found and len(able) == len(there) == 1:
            found = {able[0].name: next(iter(there))}
        found |= self.config.tasks
        problems = []
        for name, other in found.items():
            here = next(task for task in able if task.name == name)
            where = f"{self.where}.tasks.{name}" if name in self.config.tasks else f"{self.where}.path"
            if other not in there:
                problems.append(Problem(f"the teacher has no task '{other}'; it has: {', '.join(there)}", where))
            elif (here.type, here.num_classes) != (there[other].type, there[other].num_classes):
                kinds = [f"{t.type} of {t.num_classes}" if t.num_classes else t.type for t in (here, there[other])]
                problems.append(Problem(f"'{name}' is {kinds[0]}, but '{other}' of the teacher {kinds[1]}", where))
        if not found:
            text = f"the teacher predicts {', '.join(there)}, and here are: {', '.join(task.name for task in able)}"
            problems.append(Problem(f"{text}\nname which is which, e.g. tasks: {{here: there}}", self.where))
        if problems:
            raise ConfigError(problems)
        return found

    def _layer(self, index: int, name: str, steps: bool) -> Layer:
        plan = plan_embeddings(self.experiment.generator.outputs, self.experiment.model)
        with torch.random.fork_rng(devices=()):
            model = models.build(self.experiment.model, plan, self.experiment.tasks)
        return layer_of(model, plan.layouts, name, f"distill.losses.{index}.teacher", steps=steps)

    @property
    def digest(self) -> str:
        """Tells it from others: of the files that say what it is, weights by their checksums."""
        names = [self.folder / "manifest.json"]
        if not self.bundled:
            names += [self.folder.parent.parent / name for name in ("config.yaml", CALIBRATION)]
        found = hashlib.sha256()
        for path in names:
            found.update(path.read_bytes() if path.is_file() else b"none")
        return found.hexdigest()

    @cached_property
    def scorer(self) -> Scorer:
        """The model with its weights."""
        if self.bundled:
            return restore_bundle(self.folder, self.experiment)
        return restore(self.experiment, self.folder.parent.parent, self.folder)

    def forget(self) -> None:
        """Let go of the weights."""
        self.__dict__.pop("scorer", None)

    def say(self, rows: Rows) -> dict[str, pa.Array]:
        """What it says of rows, by column."""
        scorer, batch = self.scorer, Batch.of(rows.table, outputs=self.experiment.generator.outputs)
        found: dict[str, pa.Array] = {}
        with listening(scorer.model, [layer.name for layer in self.layers.values()]) as heard:
            scores = scorer.predict(batch)
        for here, there in self.tasks.items():
            found[taught(here)] = _array(logits(scores[there], self.experiment, there))
        for index, layer in self.layers.items():
            values = layer.values(heard[layer.name]).cpu().numpy()
            if layer.width is not None:
                found[layer_column(index)] = _array(values)
                continue
            lengths = layer.lengths(scorer.collection.lookup(batch)).cpu().numpy()
            offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
            found[layer_column(index)] = pa.ListArray.from_arrays(offsets, pa.array(values, pa.float32()))
        return found


def logits(scores: np.ndarray, experiment: Experiment, task: str) -> np.ndarray:
    """float32 log-odds of probabilities, log-probabilities of classes; values stay as they are."""
    kind = next(one.type for one in experiment.tasks if one.name == task)
    return scores if kind == "regression" else _logits(scores)


def _logits(scores: np.ndarray) -> np.ndarray:
    inside = np.clip(scores.astype(np.float64), SMALLEST, 1.0 - SMALLEST)
    logs = np.log(inside)
    return (logs if scores.ndim > 1 else logs - np.log1p(-inside)).astype(np.float32)


def _array(values: np.ndarray) -> pa.Array:
    """(n,) float32 as an array, (n, C) as one of lists."""
    flat = pa.array(np.ascontiguousarray(values).reshape(-1), pa.float32())
    return flat if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


class Scores:
    """What a teacher says of the rows of a source, in a file for each of its units: made once, read from then on.

    Args:
        teacher: Who speaks.
        source: The rows.
        cache: Folder of all that teachers say.
        rows: What the rows are made of beside the source's, as plain JSON.
        base: The source that tells these rows from others.
        bad_rows: What becomes of values that break a rule.
    """

    def __init__(
        self, teacher: Teacher, source: Source, cache: Path, rows: Any, base: Source, bad_rows: Policy
    ) -> None:
        self.teacher, self.source = teacher, source
        generator = teacher.experiment.generator
        columns = raw_columns(generator, source)
        source.require(columns, "data")
        # A row that is left out for its own sake has a score too: rows and scores lie side by side.
        policy: Policy = "fail" if bad_rows == "fail" else "default"
        self._intake = Intake(source, generator, Demand(labels={}, bad_rows=policy))
        self._about = {
            "teacher": teacher.digest,
            "rows": content_of(base, [name for name in columns if name in base.columns]),
            "made": rows,
            "mode": generator.mode,
            "tasks": teacher.tasks,
            "layers": {str(index): layer.name for index, layer in teacher.layers.items()},
        }
        key = hashlib.sha256(json.dumps(self._about, sort_keys=True).encode()).hexdigest()
        self.folder = cache / key[:16]
        self._opened: dict[int, pa.Table] = {}

    def _file(self, unit: Unit) -> Path:
        return self.folder / f"{unit.index:06}.arrow"

    def missing(self, units: Sequence[Unit]) -> list[Unit]:
        """Units that were not scored yet."""
        return [unit for unit in units if not self._file(unit).is_file()]

    def make(self, units: Sequence[Unit], told: Callable[[int], None], idle: Callable[[], None]) -> None:
        """Score units.

        Args:
            units: The units.
            told: Is told of rows that were scored.
            idle: Called between batches; what it raises ends the work, and what was made stays.

        Raises:
            DataError: A row cannot be scored.
            RunError: The disk refuses.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.folder / "about.json", json.dumps(self._about, indent=1) + "\n")
        schema = pa.schema(list(self.teacher.types.items()))
        for unit in units:
            parts: list[pa.RecordBatch] = []
            ahead = Prefetch(self._rows(unit), 2)
            try:
                for rows in ahead:
                    idle()
                    said = self.teacher.say(rows)
                    parts.append(pa.RecordBatch.from_arrays([said[name] for name in schema.names], schema=schema))
                    told(len(rows))
            finally:
                ahead.close()
            _write(self._file(unit), pa.Table.from_batches(parts, schema).combine_chunks())

    def _rows(self, unit: Unit) -> Iterator[Rows]:
        row = 0
        for batch in self.source.read(unit, self._intake.columns):
            for start in range(0, batch.num_rows, ROWS):
                piece = batch.slice(start, ROWS)
                rows, _ = self._intake(piece, unit, row, 0)
                assert rows is not None
                assert len(rows) == piece.num_rows
                yield rows
                row += piece.num_rows

    def of(self, unit: Unit, first: int, number: int, column: str) -> pa.Array:
        """What was said of some rows of a unit.

        Raises:
            RunError: The file is not there, or is of other rows.
        """
        table = self._opened.get(unit.index)
        if table is None:
            path = self._file(unit)
            try:
                table = pa.ipc.open_file(pa.memory_map(os.fspath(path))).read_all()
            except (OSError, pa.ArrowInvalid) as error:
                raise RunError(f"{path}: what the teacher says cannot be read: {error}\nremove {self.folder}") from None
            if len(self._opened) >= OPENED:
                self._opened.pop(next(iter(self._opened)))
            self._opened[unit.index] = table
        if first + number > table.num_rows:
            text = f"{self._file(unit)}: holds {table.num_rows:,} rows, and the data has more: remove {self.folder}"
            raise RunError(text)
        found = table.column(column).slice(first, number)
        return pa.concat_arrays(found.chunks) if found.num_chunks != 1 else found.chunk(0)


def _write(path: Path, table: pa.Table) -> None:
    partial = path.with_name(f".{path.name}.writing-{os.getpid()}")
    try:
        with pa.OSFile(os.fspath(partial), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        sync(partial)
        partial.replace(path)
        sync(path.parent)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


class Lessons(Joined):
    """Columns of what all teachers say together of the rows of one source.

    Args:
        experiment: Who learns.
        scores: Of the trained models.
    """

    def __init__(self, experiment: Experiment, scores: Sequence[Scores]) -> None:
        assert experiment.distill is not None
        self.scores, self.fails = list(scores), experiment.data.bad_rows == "fail"
        self.columns: dict[str, list[tuple[str, float]]] = {}
        self.kinds = {taught(task.name): task.type for task in experiment.tasks}
        types: dict[str, pa.DataType] = {}
        for one in scores:
            types |= one.teacher.types
        for teacher in experiment.distill.teachers:
            task = experiment.distill.task_of(teacher, experiment.tasks)
            if teacher.column is not None and task is not None:
                types.setdefault(taught(task.name), pa.float32())
                self.columns.setdefault(taught(task.name), []).append((teacher.column, teacher.weight))
        self.types = types

    def reads(self, name: str) -> Sequence[str]:
        """The teachers that are columns."""
        return [column for column, _ in self.columns.get(name, ())]

    def make(self, source: Source, unit: Unit, first: int, name: str, rows: pa.RecordBatch) -> pa.Array:
        """What is said: of several the weighted mean of those that say something."""
        said = [one for one in self.scores if name in one.teacher.types]
        named = self.columns.get(name, ())
        if len(said) == 1 and not named:
            return said[0].of(unit, first, rows.num_rows, name)
        kind = self.types[name]
        shape = (rows.num_rows, kind.list_size) if pa.types.is_fixed_size_list(kind) else (rows.num_rows,)
        total, weight = np.zeros(shape), np.zeros(rows.num_rows)
        parts = [(_values(one.of(unit, first, rows.num_rows, name)), one.teacher.config.weight) for one in said]
        parts += [(self._column(source, unit, first, rows, column, name), share) for column, share in named]
        for values, share in parts:
            known = np.isfinite(values if values.ndim == 1 else values[:, 0])
            mask = known if values.ndim == 1 else known[:, None]
            total = total + share * np.where(mask, values, 0.0)
            weight += share * known
        told = np.where(weight > 0, weight, np.nan)
        return _array((total / (told if total.ndim == 1 else told[:, None])).astype(np.float32))

    def _column(
        self, source: Source, unit: Unit, first: int, rows: pa.RecordBatch, column: str, name: str
    ) -> np.ndarray:
        """(n,) log-odds or values of a column; NaN where it says nothing."""
        values, _ = read_label(rows, column, None)
        binary = self.kinds[name] == "binary"
        given = rows.column(column).is_valid().to_numpy(zero_copy_only=False)
        sound = np.isfinite(values) & ((values >= 0) & (values <= 1) if binary else True)
        wrong = np.flatnonzero(given & ~sound)
        if len(wrong) and self.fails:
            place, told = source.locate(unit, first + int(wrong[0])), rows.column(column)[int(wrong[0])].as_py()
            must = "must be a probability from 0 to 1" if binary else "must be a finite number"
            text = f"{must}, or null where nothing is taught, but is {told!r}"
            raise DataError(text, column=column, row=place.row, file=place.file, line=place.line)
        values = np.where(sound, values, np.nan)
        return _logits(values) if binary else values


def _values(array: pa.Array) -> np.ndarray:
    """(n,) of numbers, (n, C) of lists of equal length."""
    if pa.types.is_floating(array.type):
        return np.asarray(array.to_numpy(zero_copy_only=False))
    return np.asarray(array.flatten()).reshape(len(array), -1)


def values_of(array: pa.ChunkedArray) -> torch.Tensor:
    """A column of a batch: (B,) float32, or (B, C)."""
    whole = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    shape = (len(whole), whole.type.list_size) if pa.types.is_fixed_size_list(whole.type) else (len(whole),)
    flat = whole.flatten() if len(shape) > 1 else whole
    return as_tensor(np.asarray(flat.to_numpy(zero_copy_only=False), np.float32)).reshape(shape)


def steps_of(array: pa.ChunkedArray) -> tuple[torch.Tensor, torch.Tensor]:
    """A column of lists: (N,) float32 of all steps, and (B,) int64, how many each row has."""
    whole = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    lengths = np.asarray(whole.value_lengths().to_numpy(zero_copy_only=False), np.int64)
    flat = np.asarray(whole.flatten().to_numpy(zero_copy_only=False), np.float32)
    return as_tensor(flat), as_tensor(lengths)


def make_all(
    wanted: Sequence[tuple[Scores, Sequence[Unit]]], shard: tuple[int, int], idle: Callable[[], None], *, bar: bool
) -> None:
    """Score what was not scored yet; of several workers each one has its share.

    Args:
        wanted: Scores, and the units that are needed of each.
        shard: Number of this worker, and how many there are.
        idle: Called between batches.
        bar: Whether to draw a progress bar.
    """
    left = [(scores, scores.missing([u for u in units if u.index % shard[1] == shard[0]])) for scores, units in wanted]
    left = [(scores, units) for scores, units in left if units]
    if not left:
        return
    counts = [unit.rows for _, units in left for unit in units]
    total = None if None in counts else sum(count or 0 for count in counts)
    told = "" if total is None else f"{total:,} "
    logger.info("%srows are scored by the teachers, once", told)
    with tqdm(total=total, unit="rows", disable=not bar, leave=False) as shown:
        for scores, units in left:
            with scores.teacher.scorer.averaged():
                scores.make(units, shown.update, idle)
    for scores, _ in left:
        scores.teacher.forget()
