"""What training measures of the rows that it learns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from easyrec.config.evaluation import EvalConfig
from easyrec.config.model import TaskConfig
from easyrec.config.train import TrainConfig
from easyrec.errors import ConfigError, Problem


@dataclass(frozen=True)
class Measured:
    """Tasks and their metrics.

    Attributes:
        tasks: The tasks; without metrics of their own where `train.metrics` lists any.
        evaluation: The metrics.
        where: Dotted path of what holds them.
    """

    tasks: tuple[TaskConfig, ...]
    evaluation: EvalConfig
    where: str = "eval"

    @property
    def columns(self) -> tuple[str, ...]:
        """Raw columns that the metrics read."""
        return self.evaluation.columns(self.tasks)

    def readers(self) -> Iterator[tuple[str, str]]:
        """Who reads raw columns: dotted paths, each with its column."""
        return self.evaluation.readers(self.tasks, self.where)


def measured(tasks: Sequence[TaskConfig], evaluation: EvalConfig, train: TrainConfig) -> Measured | None:
    """What `train.metrics` asks for: the metrics that it lists, else those that are evaluated, without slices.

    Returns:
        None where it asks for nothing.

    Raises:
        ConfigError: A metric that it lists fits no task.
    """
    if train.metrics is None:
        return None
    if not train.metrics.metrics:
        return Measured(tuple(tasks), EvalConfig(metrics=evaluation.metrics))
    plain = tuple(task.model_copy(update={"metrics": None}) for task in tasks)
    result = Measured(plain, EvalConfig(metrics=train.metrics.metrics), "train.metrics")
    try:
        result.evaluation.for_tasks(plain)
    except ConfigError as error:
        problems = [Problem(p.message, p.where.replace("eval.", "train.metrics.", 1)) for p in error.problems]
        raise ConfigError(problems) from None
    return result
