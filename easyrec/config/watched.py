"""Which metric training watches: for early stop, for the best checkpoint, and for plateau schedules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from easyrec.config.evaluation import EvalConfig
from easyrec.config.model import TaskConfig
from easyrec.config.train import TrainConfig
from easyrec.errors import ConfigError, Problem, nearest


@dataclass(frozen=True)
class Watched:
    """A metric and its direction.

    Attributes:
        key: Its key in an evaluation's result: `auc`, or `ctr/auc` with several tasks.
        higher_is_better: The direction.
    """

    key: str
    higher_is_better: bool


def directions(tasks: Sequence[TaskConfig], evaluation: EvalConfig) -> dict[str, str | None]:
    """The metrics of an evaluation by their keys, each with its better direction, `higher` or `lower`."""
    if evaluation.retrieval is not None:
        return {metric.key: metric.better for metric in evaluation.retrieval.metrics}
    found: dict[str, str | None] = {}
    for task, configs in evaluation.for_tasks(tasks).items():
        prefix = f"{task}/" if len(tasks) > 1 else ""
        found |= {f"{prefix}{config.key}": config.better for config in configs}
    return found


def watched(tasks: Sequence[TaskConfig], evaluation: EvalConfig, train: TrainConfig) -> Watched | None:
    """The metric that `train.early_stop.metric` names; without `early_stop` the first task's first directed one.

    Returns:
        None where nothing is named and no metric of the first task has a direction.

    Raises:
        ConfigError: It is not among the experiment's metrics, or has no better direction.
    """
    found = directions(tasks, evaluation)
    tasks = tasks[:1] if evaluation.retrieval is not None else tasks
    first = tasks[0].name
    if train.early_stop is None:
        keys = [key for key, better in found.items() if better and (len(tasks) == 1 or key.startswith(f"{first}/"))]
        return Watched(keys[0], found[keys[0]] == "higher") if keys else None
    named = train.early_stop.metric
    key = f"{first}/{named}" if len(tasks) > 1 and "/" not in named else named
    where = "train.early_stop.metric"
    if key not in found:
        known = ", ".join(found) or "none"
        raise ConfigError([Problem(f"'{named}' is not evaluated{nearest(key, found)}\nevaluated: {known}", where)])
    better = found[key]
    if better is None:
        raise ConfigError([Problem(f"'{named}' has no better direction, so training cannot stop by it", where)])
    return Watched(key, better == "higher")
