"""The `distill` section: who teaches a model, what is learned of whom, and how students are compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from easyrec.config.tune import COSTS
from easyrec.errors import Problem
from feature_generator.config import Choice, StrictModel, member

if TYPE_CHECKING:
    from easyrec.config.data import DataConfig
    from easyrec.config.model import TaskConfig

LOSSES = "easyrec.losses.distill"
LIST, WEIGHT = "candidates:list", "candidates:weight"
"""Columns of lists of candidates: which list a row is of, and whether its label counts."""
MADE = ("teacher:", "candidates:")
"""What the names of columns begin with that no data have: they are made while rows are read."""
TYPES = ("binary", "regression", "multiclass")
"""Types of tasks that can be learned from a teacher."""


def taught(task: str) -> str:
    """The column of what the teachers say of a task: log-odds, log-probabilities of classes, or a value."""
    return f"teacher:{task}"


def layer_column(loss: int) -> str:
    """The column of the teacher's layer that the loss of this number reads."""
    return f"teacher:layer:{loss}"


class TeacherConfig(StrictModel):
    """Who teaches: a trained model, or a column of the data. A text stands for its `path`."""

    path: str | None = Field(None, min_length=1)
    """A run, one of its checkpoints, or a bundle."""
    column: str | None = None
    """Column of the training rows with a probability (binary) or a value (regression); where it is null, nothing is
    taught."""
    weight: float = Field(1.0, gt=0.0)
    """Of several teachers of a task the weighted mean counts: of log-odds, log-probabilities, or values."""
    tasks: dict[str, str] = {}
    """Task here -> task of the model. Default: those of equal names, or the only one of each."""
    task: str | None = None
    """The task that the column is about. Default: the first."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.path is None) == (self.column is None):
            raise ValueError("a teacher is either a trained model or a column: give 'path' or 'column'")
        if self.column is not None and self.tasks:
            raise ValueError("'tasks' are those of a trained model; name the one of a column: 'task'")
        if self.path is not None and self.task is not None:
            raise ValueError("'task' is that of a column; a trained model has 'tasks'")
        return self


class CandidatesConfig(StrictModel):
    """Lists of candidates: rows with items of `data.items` that their users did not see, which the teachers score."""

    items: int = Field(10, ge=0)
    """Items that are drawn for each training row; 0: none."""
    evaluated: int = Field(100, gt=0)
    """Items that are drawn for each list of `valid` and `test`."""
    lists: int = Field(1000, gt=0)
    """About how many rows of `valid`, and of `test`, begin a list; they are evenly spaced."""
    seed: int = Field(0, ge=0, lt=2**31)


class StudentSearch(StrictModel):
    """What the student may cost. Where the config holds spaces, `easyrec distill` searches the best one below that."""

    latency_ms: float | None = Field(None, gt=0)
    parameters: float | None = Field(None, gt=0)
    bundle_mb: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.bounds:
            raise ValueError(f"give at least one of {', '.join(COSTS)}")
        return self

    @property
    def bounds(self) -> dict[str, float]:
        """The most of each cost."""
        return {name: value for name in COSTS if (value := getattr(self, name)) is not None}


class DistillConfig(StrictModel):
    """The `distill` section."""

    teachers: list[TeacherConfig] = Field(min_length=1)
    """One or more; a text stands for a list of one."""
    alpha: float = Field(0.5, ge=0.0, le=1.0)
    """Share of the teachers: the losses of labels weigh 1 - alpha, those of the teachers alpha."""
    losses: list[Annotated[Any, Choice(LOSSES)]] = Field([], validate_default=True)
    """What is learned of the teachers. Default: `kd`."""
    candidates: CandidatesConfig | None = None
    cache: str | None = Field(None, min_length=1)
    """Folder of what the teachers say. Default: `teachers` in the folder of the run."""
    baseline: bool = True
    """`easyrec distill` trains the same student on labels alone, too."""
    seeds: int = Field(1, gt=0)
    """`easyrec distill` trains each student so often, with `train.seed` and those after it."""
    search: StudentSearch | None = None

    @field_validator("teachers", mode="before", json_schema_input_type=list[TeacherConfig | str] | TeacherConfig | str)
    @classmethod
    def _a_text_is_a_path(cls, value: Any) -> Any:
        listed = value if isinstance(value, list) else [value]
        return [{"path": one} if isinstance(one, str) else one for one in listed]

    @field_validator("losses")
    @classmethod
    def _kd_by_default(cls, value: list[Any]) -> list[Any]:
        return value or [member(LOSSES, "kd").Config()]

    @property
    def models(self) -> dict[int, TeacherConfig]:
        """The teachers that are trained models, by their number."""
        return {number: one for number, one in enumerate(self.teachers) if one.path is not None}

    @property
    def sessions(self) -> tuple[str, ...]:
        """Raw columns whose equal values make the sessions that losses compare rows in."""
        return tuple(dict.fromkeys(column for one in self.losses for column in one.session(self)))

    def task_of(self, teacher: TeacherConfig, tasks: Sequence[TaskConfig]) -> TaskConfig | None:
        """The task that a column is about; None where there is none of this name."""
        return next((task for task in tasks if teacher.task in (None, task.name)), None)

    def is_made(self, column: str) -> bool:
        """Whether a column is made while rows are read."""
        return column.startswith(MADE)

    def unfit(self, tasks: Sequence[TaskConfig]) -> Iterator[Problem]:
        """What stands against learning these tasks from teachers, by dotted path."""
        able = [task for task in tasks if task.type in TYPES]
        if not able:
            text = (
                f"teachers are for tasks of type {', '.join(TYPES)}, and here are: {', '.join(t.type for t in tasks)}"
            )
            yield Problem(text, "distill")
            return
        for number, teacher in enumerate(self.teachers):
            where = f"distill.teachers.{number}"
            for name in teacher.tasks:
                if name not in [task.name for task in able]:
                    yield Problem(_no_task(name, able), f"{where}.tasks.{name}")
            if teacher.column is None:
                continue
            task = self.task_of(teacher, tasks)
            if task is None:
                yield Problem(_no_task(str(teacher.task), able), f"{where}.task")
            elif task.type not in ("binary", "regression"):
                text = f"a column of numbers cannot teach '{task.name}', which is {task.type}: take a trained model"
                yield Problem(text, where)
        for index, loss in enumerate(self.losses):
            yield from (Problem(p.message, f"distill.losses.{index}{p.where}") for p in loss.unfit(able, self))

    def unlisted(self, data: DataConfig) -> Iterator[Problem]:
        """What stands against lists of candidates."""
        if self.candidates is None:
            return
        if data.sample_weight is not None:
            yield Problem("lists of candidates weigh their rows themselves: leave it out", "data.sample_weight")
        if data.fg == "encoded":
            text = "lists of candidates are made of raw rows and items: leave it out, or 'distill.candidates'"
            yield Problem(text, "data.fg")
        for number, teacher in enumerate(self.teachers):
            if teacher.column is not None:
                text = "a column says nothing of items that are drawn: take a trained model, or leave 'candidates' out"
                yield Problem(text, f"distill.teachers.{number}.column")


def _no_task(name: str, tasks: Sequence[TaskConfig]) -> str:
    return f"no task that could be taught is called '{name}'; such are: {', '.join(task.name for task in tasks)}"


def unfit_distill(sections: Any, tasks: Sequence[TaskConfig], searched: Mapping[str, Any]) -> Iterator[Problem]:
    """What stands against the `distill` section beside the others, by dotted path.

    Args:
        sections: All sections.
        tasks: What is predicted.
        searched: What the model compares users with, or searches for, where labels are not what is learned.
    """
    config: DistillConfig | None = sections.distill
    if config is None:
        return
    if any(searched.values()):
        why = next(name for name, given in searched.items() if given)
        text = f"teachers speak of rows with labels, and {why} learns from none: leave 'distill' out"
        yield Problem(text, "distill")
        return
    yield from config.unfit(tasks)
    yield from config.unlisted(sections.data)
    if sections.train.compile and any(loss.of_layers for loss in config.losses):
        text = "layers of a compiled model cannot be watched: leave 'compile' out, or the losses of layers"
        yield Problem(text, "train.compile")
